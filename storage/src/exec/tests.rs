//! Recovery and check against directories that are built with the format's encoders, then damaged.

mod beside;
mod builder;
mod checking;
mod clean_start;
mod journal_cut;
mod journal_damage;
mod journal_ends;
mod journal_foreign;
mod journal_forks;
mod manifest_damage;
mod manifest_seal;
mod orphans;
mod producers;
mod random;
mod resume;
mod segment_damage;
mod unreadable;
