//! Watches the files that a project is made of.
//!
//! A save is often several events, and an editor's files come and go beside it: changes are told once they have been
//! quiet for a moment, and what no build reads (hidden files, `target`, an editor's own) is not told at all. Whether a
//! change means anything is cargo's business.

use crate::failure::{Failure, Result};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, time};

/// How long it must be quiet before a change is told.
const QUIET: Duration = Duration::from_millis(60);
/// How long a change may be held back where it never becomes quiet.
const LONGEST: Duration = Duration::from_secs(2);
/// The most events that wait; what comes while they do changes nothing, since one is enough for a build.
const MAX_WAITING: usize = 1_024;

/// Folders that are being watched.
pub(crate) struct Watch {
    events: mpsc::Receiver<PathBuf>,
    watcher: RecommendedWatcher,
    scope: Arc<Scope>,
}

/// What is watched, and what of it is not looked at.
struct Scope {
    folders: Vec<PathBuf>,
    /// Where builds write.
    target: PathBuf,
}

impl Watch {
    /// Watches folders and everything below them, but for where builds write.
    pub(crate) fn start(folders: Vec<PathBuf>, target: &Path) -> Result<Self> {
        let (sender, events) = mpsc::channel(MAX_WAITING);
        // Events come with the names that the system knows.
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let scope = Arc::new(Scope { folders: folders.iter().map(|path| real(path)).collect(), target: real(target) });
        let heard = Arc::clone(&scope);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in event.paths.into_iter().filter(|path| heard.counts(path)) {
                // Full means that enough is waiting; closed, that nobody listens any more.
                let _enough = sender.try_send(path);
            }
        });
        let watcher = watcher.map_err(|error| cannot_watch(&scope.folders[0], &error))?;
        let mut watch = Self { events, watcher, scope };
        for folder in watch.scope.folders.clone() {
            watch.add(&folder, RecursiveMode::NonRecursive)?;
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                watch.add_below(&entry.path())?;
            }
        }
        Ok(watch)
    }

    /// Waits for a change; gives the files that it is made of.
    pub(crate) async fn changed(&mut self) -> Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        files.extend(self.events.recv().await);
        let latest = time::Instant::now() + LONGEST;
        loop {
            let until = (time::Instant::now() + QUIET).min(latest);
            match time::timeout_at(until, self.events.recv()).await {
                Ok(Some(file)) => files.insert(file),
                Ok(None) | Err(_) => break,
            };
        }
        for file in &files {
            // A folder that is new in one of ours.
            if file.parent().is_some_and(|parent| self.scope.folders.iter().any(|folder| folder == parent)) {
                self.add_below(file)?;
            }
        }
        Ok(files)
    }

    /// Watches all of a folder in one of ours.
    fn add_below(&mut self, path: &Path) -> Result {
        // Watched by itself, or gone again.
        if !path.is_dir() || !self.scope.counts(path) || self.scope.folders.iter().any(|folder| folder == path) {
            return Ok(());
        }
        self.add(path, RecursiveMode::Recursive)
    }

    fn add(&mut self, path: &Path, mode: RecursiveMode) -> Result {
        match self.watcher.watch(path, mode) {
            Err(error) if !is_gone(&error) => Err(cannot_watch(path, &error)),
            _ => Ok(()),
        }
    }
}

impl Scope {
    /// Whether a build may read this file.
    fn counts(&self, path: &Path) -> bool {
        // A project may lie where builds write, as those of tests do.
        if path.starts_with(&self.target) && !self.folders.iter().any(|folder| folder.starts_with(&self.target)) {
            return false;
        }
        let below = self.folders.iter().filter_map(|folder| path.strip_prefix(folder).ok());
        let Some(below) = below.min_by_key(|below| below.components().count()) else { return false };
        below.iter().next().is_some_and(|first| first != "target" && first != "node_modules")
            && below.iter().all(|part| !is_passing(part))
    }
}

/// Hidden files, and those that editors keep for a moment. The lock file is cargo's own.
fn is_passing(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || [".swp", ".swx", ".tmp", ".bak"].iter().any(|end| name.ends_with(end))
        || name == "4913"
        || name == "Cargo.lock"
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn cannot_watch(path: &Path, error: &notify::Error) -> Failure {
    let failure = Failure::failed(format!("{} cannot be watched", path.display())).why(error.to_string());
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            failure.hint("let the system watch more: sudo sysctl fs.inotify.max_user_watches=524288")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_save_is_told_once_and_what_no_build_reads_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["src", "target/debug", ".git", ".bivouac"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let mut watch = Watch::start(vec![folder.path().to_owned()], &at("target")).unwrap();
        for name in ["target/debug/x", ".git/index", ".bivouac/db", "src/lib.rs~", "src/.lib.rs.swp", "Cargo.lock"] {
            fs::write(at(name), "").unwrap();
        }
        fs::write(at("src/lib.rs"), "one").unwrap();
        fs::write(at("src/lib.rs"), "two").unwrap();
        let changed = watch.changed().await.unwrap();
        assert_eq!(changed, [fs::canonicalize(at("src/lib.rs")).unwrap()].into());

        fs::create_dir(at("prompts")).unwrap();
        watch.changed().await.unwrap();
        fs::write(at("prompts/greeting.txt"), "Hello").unwrap();
        let changed = watch.changed().await.unwrap();
        assert!(changed.iter().any(|file| file.ends_with("prompts/greeting.txt")), "{changed:?}");
    }
}
