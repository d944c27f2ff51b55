//! The house rules that no compiler checks.
//!
//! Owns: the list of checks and the walk over the tree.
//! Never: changes a file.
//! Invariants: findings are sorted by path and line, so two runs print the same.
//! Source: style.md section 6, architecture.md section 4.

mod layers;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path relative to the root.
    pub(crate) path: String,
    /// Line, counted from one; zero if the whole file is meant.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// One file of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path relative to the root, separated by `/`.
    pub(crate) path: String,
    /// Contents.
    pub(crate) text: String,
}

/// Runs every check on the tree at `root`.
pub(crate) fn check(root: &Path) -> io::Result<Vec<Finding>> {
    let sources = read_tree(root)?;
    let mut findings = Vec::new();
    layers::check(&sources, &mut findings);
    text::check(&sources, &mut findings);
    findings.sort();
    Ok(findings)
}

/// Folders that hold no sources of ours.
const SKIPPED: &[&str] = &[
    "target",
    ".git",
    "node_modules",
    ".venv",
    "__pycache__",
    "data",
    "corpus",
    "out",
];

/// Endings of files that are read as text.
const ENDINGS: &[&str] = &["rs", "toml", "md", "py", "java", "go", "sh"];

fn read_tree(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| at(&folder, &error))? {
            let entry = entry?;
            let path = entry.path();
            // What a link points to is read where it lies.
            if entry.file_type()?.is_symlink() {
                continue;
            }
            if path.is_dir() {
                if !is_skipped(&path) {
                    folders.push(path);
                }
            } else if is_text(&path) {
                sources.push(read_source(root, &path).map_err(|error| at(&path, &error))?);
            }
        }
    }
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(sources)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn is_skipped(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_none_or(|name| SKIPPED.contains(&name))
}

fn is_text(path: &Path) -> bool {
    let in_scripts = path
        .parent()
        .is_some_and(|parent| parent.ends_with("scripts"));
    in_scripts
        || path
            .extension()
            .and_then(|end| end.to_str())
            .is_some_and(|end| ENDINGS.contains(&end))
}

fn read_source(root: &Path, path: &PathBuf) -> io::Result<Source> {
    let relative = path
        .strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/");
    let bytes = fs::read(path)?;
    Ok(Source {
        path: relative,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}
