//! What the tests of whole directories share; the fuzz target `recovery` includes the same files.
//!
//! Owns: the modules below.
//! Never: uses anything but the public interface.
//! Invariants: every random choice comes from a seed or a script.
//! Source: reliability.md 3.2, 3.3.

pub(crate) mod cutting;
pub(crate) mod evidence;
pub(crate) mod judge;
pub(crate) mod scene;
pub(crate) mod script;
pub(crate) mod watched;
pub(crate) mod world;
