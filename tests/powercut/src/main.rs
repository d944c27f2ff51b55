//! A disk that records every write and flush, and makes the images a power cut could leave.
//!
//! Owns: the command line.
//! Never: knows the broker.
//! Invariants: everything is a function of the recording and a seed.
//! Source: reliability.md 3.7.

mod answered;
mod disk;
mod faults;
mod image;
mod random;
mod recording;
mod room;
mod serve;
mod strict;
mod strict_image;
mod tree;

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use image::Maker;

const USAGE: &str = "usage:
  powercut serve CONTENTS SIZE RECORDING POSITION MOUNT SOCKET
      serves MOUNT/disk.img, a disk of SIZE bytes, until it is unmounted
  powercut images RECORDING BASE SIZE [START]
      makes images; reads lines from standard input and answers each with one line:
        image EVENTS SEED OUT   -> DURABLE PENDING SURVIVORS FATE
        marks                   -> EVENTS then `NUMBER:TEXT` per mark, separated by tabs
        flushes                 -> `NUMBER:UNFLUSHED` per flush: writes that a cut before it leaves unflushed
  powercut strict RECORDING POSITION MOUNT SOCKET
      serves a file system that keeps nothing that was not synced, until it is unmounted; lines at SOCKET, each
      answered with the number of requests refused so far:
        enospc create|grow PATTERN   new files, or more bytes in files, find no room; `*` stands for anything
        heal                         there is room again
        struck                       only the answer
  powercut tree RECORDING EVENTS SEED OUT
      writes the tree that a power cut leaves to the new directory OUT; prints UNSYNCED SURVIVORS
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", contents, size, recording, position, mount, socket] => {
            parse(size).and_then(|size| {
                serve::run(&serve::Serve {
                    contents: PathBuf::from(contents),
                    size,
                    recording: PathBuf::from(recording),
                    position: PathBuf::from(position),
                    mount: PathBuf::from(mount),
                    socket: PathBuf::from(socket),
                })
            })
        }
        ["images", recording, base, size] => images(recording, base, size, None),
        ["images", recording, base, size, start] => images(recording, base, size, Some(start)),
        ["strict", recording, position, mount, socket] => strict::run(
            Path::new(recording),
            Path::new(position),
            Path::new(mount),
            Path::new(socket),
        ),
        ["tree", recording, count, seed, out] => tree_image(recording, (count, seed), out),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("powercut: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{word}` is no number"),
        )
    })
}

fn tree_image(recording: &str, cut: (&str, &str), out: &str) -> io::Result<()> {
    let recording = recording::Recording::open(Path::new(recording))?;
    let (count, seed) = (parse(cut.0)?, parse(cut.1)?);
    let (pending, survivors) = strict_image::make(&recording, count, seed, Path::new(out))?;
    writeln!(io::stdout(), "{pending} {survivors}")
}

fn images(recording: &str, base: &str, size: &str, start: Option<&str>) -> io::Result<()> {
    let mut maker = Maker::new(
        Path::new(recording),
        Path::new(base),
        parse(size)?,
        start.map(Path::new),
    )?;
    for line in io::stdin().lock().lines() {
        let answer = answer(&mut maker, &line?)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(maker: &mut Maker, line: &str) -> io::Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["image", count, seed, out] => {
            let made = maker.make(parse(count)?, parse(seed)?, Path::new(out))?;
            Ok(format!(
                "{} {} {} {}",
                made.durable, made.pending, made.survivors, made.fate
            ))
        }
        ["marks"] => {
            let mut text = maker.events().to_string();
            for (number, mark) in maker.marks()? {
                text.push_str(&format!("\t{number}:{mark}"));
            }
            Ok(text)
        }
        ["flushes"] => {
            let flushes = maker.flushes();
            let words: Vec<String> = flushes
                .iter()
                .map(|(number, unflushed)| format!("{number}:{unflushed}"))
                .collect();
            Ok(words.join(" "))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{line}`"),
        )),
    }
}
