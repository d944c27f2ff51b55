//! Conversations per API, at every version.
//!
//! Owns: one file per family of APIs.
//! Never: part of the product.
//! Invariants: every served version of every API is spoken at least once.
//! Source: kafka.md section 4.

mod bounds;
mod cluster;
mod groups;
mod hostile;
mod offsets;
mod topics;
