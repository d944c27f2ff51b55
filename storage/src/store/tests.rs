//! Tests of the store over a disk in memory.

mod commit;
mod crash;
mod damage;
mod lookup;
mod lost_groups;
mod manifest_room;
mod manifest_seal;
mod many;
mod missing;
mod model;
mod open_failures;
mod pressing;
mod retention;
mod segments;
mod space;
mod stall;
mod stop;
mod world;
