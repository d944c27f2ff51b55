//! Damage to a directory, as a script of bytes.
//!
//! Owns: the kinds of damage and how bytes choose among them.
//! Never: makes damage that depends on anything but the script and the scene.
//! Invariants: every byte string is a script; an operation that changes nothing says so.
//! Source: reliability.md 2.1, 2.6; the catalogue in section 6.

use model::prng::Prng;
use storage::exec::{Disk, MemoryDisk};

use super::scene::Scene;

const BLOCK: usize = 4_096;
/// Operations of one script.
const OPS_MAX: usize = 8;
/// Bytes of one operation.
const OP_BYTES: usize = 6;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    FlipBit,
    ZeroSector,
    ZeroBlock,
    ZeroFromHere,
    GarbageBlock,
    SwapBlocks,
    DuplicateBlock,
    BlockOfOtherFile,
    StaleBlock,
    UnreadableBlock,
    Truncate,
    Extend,
    EmptyFile,
    DeleteFile,
    SwapFiles,
    DuplicateFile,
    StaleFile,
    ResurrectFile,
    ForeignFile,
    BlockOfNeighbor,
    FileOfNeighbor,
}

/// Chosen by kinds up to `NEIGHBORS`.
const KINDS: [Kind; 19] = [
    Kind::FlipBit,
    Kind::ZeroSector,
    Kind::ZeroBlock,
    Kind::ZeroFromHere,
    Kind::GarbageBlock,
    Kind::SwapBlocks,
    Kind::DuplicateBlock,
    Kind::BlockOfOtherFile,
    Kind::StaleBlock,
    Kind::UnreadableBlock,
    Kind::Truncate,
    Kind::Extend,
    Kind::EmptyFile,
    Kind::DeleteFile,
    Kind::SwapFiles,
    Kind::DuplicateFile,
    Kind::StaleFile,
    Kind::ResurrectFile,
    Kind::ForeignFile,
];

/// Kinds from here on put what another core has in the place of ours.
const NEIGHBORS: u8 = 240;

/// One piece of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    file: u8,
    other: u8,
    block: u16,
    within: u8,
}

/// The operations that bytes stand for.
pub(crate) fn parse(script: &[u8]) -> Vec<Op> {
    let (ops, _) = script.as_chunks::<OP_BYTES>();
    let ops = ops.iter().take(OPS_MAX);
    ops.map(|[kind, file, other, low, high, within]| Op {
        kind: match *kind {
            ..NEIGHBORS => KINDS[usize::from(*kind) % KINDS.len()],
            kind if kind.is_multiple_of(2) => Kind::BlockOfNeighbor,
            _ => Kind::FileOfNeighbor,
        },
        file: *file,
        other: *other,
        block: u16::from_le_bytes([*low, *high]),
        within: *within,
    })
    .collect()
}

/// A script of up to three operations.
pub(crate) fn random(prng: &mut Prng) -> Vec<u8> {
    let ops = [1, 1, 1, 2, 3][usize::try_from(prng.below(5)).unwrap()];
    let bytes = (0..ops * OP_BYTES).map(|_| u8::try_from(prng.below(256)).unwrap());
    bytes.collect()
}

/// Does the damage; the operations that changed something.
pub(crate) fn apply(ops: &[Op], disk: &mut MemoryDisk, scene: &Scene) -> Vec<(Op, String)> {
    let mut done = Vec::new();
    for op in ops {
        let before = disk.clone();
        let what = op.apply(disk, scene);
        if *disk != before {
            done.push((*op, what.unwrap_or_default()));
        }
    }
    done
}

impl Op {
    /// What was changed, for people.
    fn apply(self, disk: &mut MemoryDisk, scene: &Scene) -> Option<String> {
        let files = disk.files();
        let path = pick(&files, self.file)?;
        let mut bytes = disk.contents(&path)?.to_vec();
        let at = self.position(&bytes, self.block);
        let what = format!("{:?} {path} at {at}", self.kind);
        match self.kind {
            Kind::UnreadableBlock => {
                disk.make_unreadable(&path, at as u64);
                return Some(what);
            }
            Kind::DeleteFile | Kind::SwapFiles | Kind::DuplicateFile => {
                let other = pick(&files, self.other)?;
                self.whole(disk, &path, &other);
                return Some(format!("{what}, {other}"));
            }
            Kind::StaleFile | Kind::StaleBlock => {
                let older = self.older(scene)?.contents(&path)?;
                if self.kind == Kind::StaleFile {
                    disk.put(&path, older.to_vec());
                    return Some(what);
                }
                copy(&mut bytes, at, older.get(at..)?);
            }
            Kind::ResurrectFile => return self.resurrect(disk, scene),
            Kind::FileOfNeighbor => {
                let theirs = self.neighbor(scene, &path)?;
                disk.put(&path, scene.neighbor.contents(&theirs)?.to_vec());
                return Some(format!("{what}, {theirs}"));
            }
            Kind::BlockOfNeighbor => {
                let theirs = scene.neighbor.contents(&self.neighbor(scene, &path)?)?;
                copy(&mut bytes, at, theirs.get(at..)?);
            }
            Kind::BlockOfOtherFile => {
                let other = disk.contents(&pick(&files, self.other)?)?;
                let from = self.position(other, self.block.rotate_left(5));
                copy(&mut bytes, at, other.get(from..)?);
            }
            Kind::ForeignFile => {
                disk.put(&format!("{path}.bak"), bytes);
                return Some(what);
            }
            _ => self.inside(&mut bytes, at),
        }
        disk.put(&path, bytes);
        Some(what)
    }

    /// Damage inside one file.
    fn inside(self, bytes: &mut Vec<u8>, at: usize) {
        let upto = bytes.len().min(at + BLOCK);
        let within = usize::from(self.within) * 16;
        match self.kind {
            Kind::FlipBit => {
                let low = usize::from(self.other) % 16;
                if let Some(byte) = bytes.get_mut(at + within + low) {
                    *byte ^= 1 << (self.other % 8);
                }
            }
            Kind::ZeroSector => {
                let sector = at + within / 512 * 512;
                bytes[sector.min(upto)..upto.min(sector + 512)].fill(0);
            }
            Kind::ZeroBlock => bytes[at.min(upto)..upto].fill(0),
            Kind::ZeroFromHere => bytes[at.min(upto)..].fill(0),
            Kind::GarbageBlock => {
                let mut prng = Prng::new(u64::from(self.block) << 8 | u64::from(self.within));
                let part = &mut bytes[at.min(upto)..upto];
                part.fill_with(|| u8::try_from(prng.below(256)).unwrap());
            }
            Kind::SwapBlocks | Kind::DuplicateBlock => {
                let other = self.position(bytes, u16::from(self.other) << 3 | 1);
                let (mut one, mut two) = ([0; BLOCK], [0; BLOCK]);
                copy(&mut one, 0, &bytes[at.min(upto)..]);
                copy(&mut two, 0, &bytes[other..]);
                copy(bytes, other, &one);
                if self.kind == Kind::SwapBlocks {
                    copy(bytes, at, &two);
                }
            }
            Kind::Truncate => bytes.truncate(at + within / 512 * 512),
            Kind::Extend => {
                let fill = if self.within.is_multiple_of(2) {
                    0
                } else {
                    self.within
                };
                bytes.resize(bytes.len() + usize::from(self.other) * 512, fill);
            }
            _ => bytes.clear(),
        }
    }

    fn whole(self, disk: &mut MemoryDisk, path: &str, other: &str) {
        let one = disk.contents(path).unwrap_or_default().to_vec();
        let two = disk.contents(other).unwrap_or_default().to_vec();
        match self.kind {
            Kind::SwapFiles => {
                disk.put(path, two);
                disk.put(other, one);
            }
            Kind::DuplicateFile => disk.put(other, one),
            _ => disk.remove(path).unwrap(),
        }
    }

    /// Brings a file back that was there once.
    fn resurrect(self, disk: &mut MemoryDisk, scene: &Scene) -> Option<String> {
        let older = self.older(scene)?;
        let gone: Vec<(String, u64)> = older
            .files()
            .into_iter()
            .filter(|(path, _)| disk.contents(path).is_none())
            .collect();
        let path = pick(&gone, self.file)?;
        disk.put(&path, older.contents(&path)?.to_vec());
        Some(format!("{:?} {path}", self.kind))
    }

    /// A file that the neighbor has where we have this one.
    fn neighbor(self, scene: &Scene, path: &str) -> Option<String> {
        let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let mut files = scene.neighbor.files();
        files.retain(|(other, _)| folder(other) == folder(path));
        pick(&files, self.other)
    }

    fn older(self, scene: &Scene) -> Option<&MemoryDisk> {
        let count = scene.older.len();
        scene.older.get(usize::from(self.within) % count.max(1))
    }

    /// Position of a block: mostly one that holds something.
    fn position(self, bytes: &[u8], choice: u16) -> usize {
        let choice = usize::from(choice);
        let is_used = |at: &usize| {
            let block = &bytes[*at..bytes.len().min(at + BLOCK)];
            !ZEROS.starts_with(block)
        };
        let used: Vec<usize> = (0..bytes.len()).step_by(BLOCK).filter(is_used).collect();
        let blocks = bytes.len().div_ceil(BLOCK).max(1);
        match used.get(choice / 8 % used.len().max(1)) {
            // One behind what is used, now and then.
            Some(at) if choice % 8 == 0 => (at + BLOCK).min((blocks - 1) * BLOCK),
            Some(at) => *at,
            None => choice % blocks * BLOCK,
        }
    }
}

fn pick(files: &[(String, u64)], choice: u8) -> Option<String> {
    let index = usize::from(choice) % files.len().max(1);
    files.get(index).map(|(path, _)| path.clone())
}

/// Puts up to a block of `from` at a position, as far as there is room.
fn copy(bytes: &mut [u8], at: usize, from: &[u8]) {
    let room = bytes.get_mut(at..).unwrap_or_default();
    let len = room.len().min(from.len()).min(BLOCK);
    room[..len].copy_from_slice(&from[..len]);
}
