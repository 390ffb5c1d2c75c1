//! The image of a power cut: each test starts this very program again, under watch, to live one of the lives below.

use bivouac_testbed::{
    PowerLoss, Process,
    powerloss::{count_only, fill_on_demand, read_counts},
};
use rusqlite::Connection;
use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

const LIFE: &str = "TESTBED_LIFE";
const FOLDER: &str = "TESTBED_FOLDER";
const SOON: Duration = Duration::from_secs(60);

type Life = (&'static str, fn(&Path));

/// Not a test by itself: the process that the tests below watch. It ends without closing anything.
#[test]
fn a_watched_life() {
    let (Ok(life), Ok(folder)) = (env::var(LIFE), env::var(FOLDER)) else { return };
    let lives: &[Life] = &[
        ("unsynced", unsynced),
        ("file_only", file_only),
        ("synced", synced),
        ("private", private),
        ("filled", filled),
        ("renamed", renamed),
        ("replaced", replaced),
        ("unlinked", unlinked),
        ("shortened", shortened),
        ("folders", folders),
        ("moved_folder", moved_folder),
        ("number_again", number_again),
        ("sqlite_full", |folder| sqlite(folder, "FULL")),
        ("sqlite_normal", |folder| sqlite(folder, "NORMAL")),
    ];
    let (_, live) = lives.iter().find(|(name, _)| *name == life).expect("a life of that name");
    live(Path::new(&folder));
    std::process::abort();
}

fn unsynced(folder: &Path) {
    File::create(folder.join("new")).unwrap().write_all(b"lost").unwrap();
    let mut old = OpenOptions::new().append(true).open(folder.join("old")).unwrap();
    old.write_all(b" and lost").unwrap();
}

fn file_only(folder: &Path) {
    let mut file = File::create(folder.join("new")).unwrap();
    file.write_all(b"bytes without a name").unwrap();
    file.sync_all().unwrap();
}

fn synced(folder: &Path) {
    let file = File::create(folder.join("new")).unwrap();
    file.write_all_at(b"kept", 0).unwrap();
    file.sync_data().unwrap();
    sync(folder);
    file.write_all_at(b"lost", 100).unwrap();
    let mut old = OpenOptions::new().read(true).write(true).open(folder.join("old")).unwrap();
    old.seek(SeekFrom::Start(1)).unwrap();
    old.write_all(b"L").unwrap();
    old.sync_all().unwrap();
}

fn private(folder: &Path) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join("key")).unwrap();
    file.write_all(b"key").unwrap();
    file.sync_all().unwrap();
    sync(folder);
}

/// Fills the disk, notes what became of a write, and makes room again.
fn filled(folder: &Path) {
    let full = folder.with_extension("full");
    let mut file = File::create(folder.join("new")).unwrap();
    file.write_all(b"before").unwrap();
    fs::write(&full, "").unwrap();
    assert_eq!(file.write_all(b"meanwhile").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    fs::remove_file(&full).unwrap();
    file.write_all(b" and after").unwrap();
}

fn renamed(folder: &Path) {
    fs::rename(folder.join("old"), folder.join("unseen")).unwrap();
    fs::write(folder.join("early"), b"").unwrap();
    sync(folder);
    fs::rename(folder.join("unseen"), folder.join("later")).unwrap();
}

fn replaced(folder: &Path) {
    let mut file = File::create(folder.join("aside")).unwrap();
    file.write_all(b"second").unwrap();
    file.sync_all().unwrap();
    fs::rename(folder.join("aside"), folder.join("old")).unwrap();
    if env::var_os("TESTBED_SYNC").is_some() {
        sync(folder);
    }
}

fn unlinked(folder: &Path) {
    fs::remove_file(folder.join("old")).unwrap();
    if env::var_os("TESTBED_SYNC").is_some() {
        sync(folder);
    }
}

fn shortened(folder: &Path) {
    let file = OpenOptions::new().write(true).open(folder.join("old")).unwrap();
    file.set_len(1).unwrap();
    if env::var_os("TESTBED_SYNC").is_some() {
        file.write_all_at(b"d", 3).unwrap();
        file.sync_all().unwrap();
    }
}

fn folders(folder: &Path) {
    for name in ["named", "nameless"] {
        let inner = folder.join(name).join("inner");
        fs::create_dir_all(&inner).unwrap();
        let mut file = File::create(inner.join("file")).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        file.sync_all().unwrap();
        sync(&inner);
        if name == "named" {
            sync(inner.parent().unwrap());
            sync(folder);
        }
    }
}

fn moved_folder(folder: &Path) {
    fs::create_dir(folder.join("a")).unwrap();
    fs::create_dir(folder.join("b")).unwrap();
    let mut file = File::create(folder.join("a/file")).unwrap();
    file.write_all(b"moved").unwrap();
    file.sync_all().unwrap();
    sync(&folder.join("a"));
    sync(folder);
    fs::rename(folder.join("a"), folder.join("b/c")).unwrap();
    sync(folder);
    sync(&folder.join("b"));
}

/// Files come and go, so that an inode number is used again for another file.
fn number_again(folder: &Path) {
    for round in 0..50 {
        let path = folder.join("again");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"written before").unwrap();
        file.sync_all().unwrap();
        drop(file);
        fs::remove_file(&path).unwrap();
        let mut file = File::create(folder.join(format!("last{round}"))).unwrap();
        file.write_all(b"x").unwrap();
    }
    sync(folder);
}

fn sqlite(folder: &Path, synchronous: &str) {
    let database = Connection::open(folder.join("runs.db")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.pragma_update(None, "synchronous", synchronous).unwrap();
    database.execute_batch("CREATE TABLE t(n INTEGER)").unwrap();
    for n in 0..100 {
        database.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
    }
    database.execute_batch("BEGIN; INSERT INTO t VALUES (1000)").unwrap();
    // Before the connection is closed, which would tidy up.
    std::process::abort();
}

#[test]
fn what_was_not_synced_is_lost() {
    let world = World::new("unsynced");
    assert_eq!(world.names(), ["old"]);
    assert_eq!(world.read("old"), "old");
}

#[test]
fn a_created_file_whose_directory_was_not_synced_is_lost() {
    assert_eq!(World::new("file_only").names(), ["old"]);
}

#[test]
fn what_was_synced_is_kept_and_only_that() {
    let world = World::new("synced");
    assert_eq!((world.read("new"), world.read("old")), ("kept".to_owned(), "oLd".to_owned()));
    let counts = world.watch.counts().unwrap();
    assert_eq!((counts.file_syncs, counts.directory_syncs, counts.writes, counts.bytes), (2, 1, 3, 9));
}

#[test]
fn a_renamed_file_has_the_name_of_the_last_directory_sync() {
    let world = World::new("renamed");
    assert_eq!(world.names(), ["early", "unseen"]);
    assert_eq!(world.read("unseen"), "old");
}

#[test]
fn a_file_replaced_by_rename_is_the_old_one_until_the_directory_is_synced() {
    assert_eq!(World::new("replaced").read("old"), "old");
    let world = World::with("replaced", |command| command.env("TESTBED_SYNC", "1"));
    assert_eq!((world.names(), world.read("old")), (vec!["old".to_owned()], "second".to_owned()));
}

#[test]
fn an_unlinked_file_is_back_until_the_directory_is_synced() {
    assert_eq!(World::new("unlinked").read("old"), "old");
    assert!(World::with("unlinked", |command| command.env("TESTBED_SYNC", "1")).names().is_empty());
}

#[test]
fn a_length_is_durable_with_the_files_sync() {
    assert_eq!(World::new("shortened").read("old"), "old");
    let world = World::with("shortened", |command| command.env("TESTBED_SYNC", "1"));
    assert_eq!(world.read("old"), "o\0\0d", "what lay beyond the cut does not come back");
}

#[test]
fn a_directory_is_kept_when_every_parent_names_it() {
    let world = World::new("folders");
    assert_eq!(world.names(), ["named", "old"]);
    assert_eq!(world.read("named/inner/file"), "named");
}

#[test]
fn a_moved_directory_takes_along_what_lies_below() {
    let world = World::new("moved_folder");
    assert_eq!(world.names(), ["b", "old"]);
    assert_eq!(world.read("b/c/file"), "moved");
}

#[test]
fn a_new_file_does_not_inherit_the_bytes_of_one_that_had_its_number() {
    let world = World::new("number_again");
    for name in world.names().iter().filter(|name| *name != "old") {
        assert_eq!(world.read(name), "", "{name}");
    }
}

#[test]
fn commits_of_sqlite_survive_with_synchronous_full_and_need_not_without() {
    let rows = |world: &World| -> Vec<i64> {
        let database = Connection::open(world.watch.image().join("runs.db")).unwrap();
        let mut rows = database.prepare("SELECT n FROM t ORDER BY n").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let world = World::new("sqlite_full");
    assert_eq!(rows(&world), (0..100).collect::<Vec<_>>());
    assert!(world.watch.counts().unwrap().file_syncs >= 100);
    assert!(!world.names().contains(&"runs.db-shm".to_owned()));

    let careless = World::new("sqlite_normal");
    let database = Connection::open(careless.watch.image().join("runs.db")).unwrap();
    assert!(database.prepare("SELECT n FROM t").is_err(), "the shim sees that nothing was synced");
}

#[test]
fn a_program_can_be_counted_and_left_alone() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("old"), "old").unwrap();
    let counts = scratch.path().join("counts");
    let mut command = life("synced", folder.path());
    live(count_only(&mut command, folder.path(), &counts).unwrap());
    assert_eq!(read_counts(&counts).unwrap().file_syncs, 2);
    assert_eq!(fs::read(folder.path().join("new")).unwrap().len(), 104);
}

#[test]
fn a_synced_file_keeps_its_permissions() {
    let world = World::new("private");
    let mode = fs::metadata(world.watch.image().join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_disk_is_full_as_long_as_it_is_told_so() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("data");
    fs::create_dir(&folder).unwrap();
    let mut command = life("filled", &folder);
    live(fill_on_demand(&mut command, &folder, &folder.with_extension("full")).unwrap());
    assert_eq!(fs::read_to_string(folder.join("new")).unwrap(), "before and after");
}

/// A folder with one durable file, `old`, after one life over it.
struct World {
    watch: PowerLoss,
    _folder: TempDir,
    _scratch: TempDir,
}

impl World {
    fn new(name: &str) -> Self {
        Self::with(name, |command| command)
    }

    fn with(name: &str, more: fn(&mut Command) -> &mut Command) -> Self {
        let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("old"), "old").unwrap();
        let watch = PowerLoss::over(folder.path(), scratch.path()).unwrap();
        live(more(watch.watch(&mut life(name, folder.path()))));
        Self { watch, _folder: folder, _scratch: scratch }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.watch.image()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.watch.image().join(name)).unwrap()
    }
}

fn life(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    let folder: PathBuf = folder.canonicalize().unwrap();
    command.args(["--exact", "powerloss::a_watched_life", "--nocapture"]).env(LIFE, name).env(FOLDER, folder);
    command
}

/// Lives it to its end, which must be the intended one.
fn live(command: &mut Command) {
    let mut process = Process::spawn(command).unwrap();
    let status = process.wait(SOON).unwrap();
    let output = process.output();
    assert!(!status.success() && !output.contains("panicked") && !output.contains("powerloss:"), "{output}");
}

fn sync(folder: &Path) {
    File::open(folder).unwrap().sync_all().unwrap();
}
