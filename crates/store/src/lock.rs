//! One process per data directory: a lock file that names who holds it.
//!
//! The lock is the operating system's (`flock`), so it is gone with its process however that ends; the text in the file
//! is only for people. The file is never removed: removing a locked file would let two processes hold two locks.

use crate::StoreError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

const FILE: &str = "lock";
/// The longest name of an owner, in bytes.
const MAX_OWNER: usize = 256;

/// The data directory is this process's as long as this lives.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory, or says who has it.
    pub(crate) fn acquire(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let io = |source| StoreError::Io { doing: format!("cannot lock {}", path.display()), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { directory: directory.display().to_string(), owner: owner(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(name().as_bytes())).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// This process: its number and its command.
fn name() -> String {
    let command: Vec<String> = std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect();
    let mut name = format!("{} ({})", std::process::id(), command.join(" "));
    if name.len() > MAX_OWNER {
        let end = (0..=MAX_OWNER).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
        name.truncate(end);
        name.push_str("...)");
    }
    name
}

/// What the holder wrote; it may be about to write it.
fn owner(file: &mut File) -> String {
    let mut text = Vec::new();
    let limit = u64::try_from(2 * MAX_OWNER).unwrap_or(u64::MAX);
    match file.take(limit).read_to_end(&mut text) {
        Ok(n) if n > 0 => String::from_utf8_lossy(&text).into_owned(),
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(directory.path()).unwrap();
        let refused = DirectoryLock::acquire(directory.path()).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        assert!(refused.contains(&std::env::args().next().unwrap()), "{refused}");
        drop(first);
        DirectoryLock::acquire(directory.path()).unwrap();
    }
}
