//! Damage to whole data directories, then a start.
//!
//! Owns: choosing a directory and the damage from the input.
//! Never: has an oracle of its own: it is that of the tests of `storage`, from the same files.
//! Invariants: the same input is the same case; a directory is built once.
//! Source: reliability.md 2.4 to 2.6, 3.6.

#[path = "../../storage/tests/it/kit/evidence.rs"]
pub(crate) mod evidence;
#[path = "../../storage/tests/it/kit/judge.rs"]
#[expect(dead_code, reason = "the tests of storage use more of it")]
pub(crate) mod judge;
#[path = "../../storage/tests/it/kit/scene.rs"]
pub(crate) mod scene;
#[path = "../../storage/tests/it/kit/script.rs"]
#[expect(dead_code, reason = "the tests of storage use more of it")]
pub(crate) mod script;
#[path = "../../storage/tests/it/kit/watched.rs"]
pub(crate) mod watched;
#[path = "../../storage/tests/it/kit/world.rs"]
pub(crate) mod world;

use std::sync::OnceLock;

use scene::Scene;

/// Directories to choose from; all of them stay in memory.
const SCENES: usize = 64;

static BUILT: [OnceLock<Scene>; SCENES] = [const { OnceLock::new() }; SCENES];

/// The first byte chooses the directory (there are 64), the rest is a script of damage, six bytes for each operation.
///
/// # Panics
/// If a start or a check breaks a promise about the damaged directory.
pub fn run(data: &[u8]) {
    let Some((choice, damage)) = data.split_first() else {
        return;
    };
    let number = usize::from(*choice) % SCENES;
    let scene = BUILT[number].get_or_init(|| Scene::build(number as u64));
    let mut disk = scene.disk.clone();
    script::apply(&script::parse(damage), &mut disk, scene);
    judge::judge(scene, &disk);
}
