//! Every store passes the same suite.

use bivouac_store::{
    Store,
    envelope::MasterKey,
    memory::MemoryStore,
    sqlite::{SqliteOptions, SqliteStore},
    suite::Subject,
};

struct InMemory(MemoryStore);

impl Subject for InMemory {
    fn store(&mut self) -> &mut dyn Store {
        &mut self.0
    }

    fn reopen(&mut self) {
        self.0 = self.0.clone();
    }
}

struct OnDisk {
    store: Option<SqliteStore>,
    options: SqliteOptions,
    directory: tempfile::TempDir,
}

impl OnDisk {
    fn new(options: SqliteOptions) -> Self {
        let mut subject = Self { store: None, options, directory: tempfile::tempdir().unwrap() };
        subject.reopen();
        subject
    }
}

impl Subject for OnDisk {
    fn store(&mut self) -> &mut dyn Store {
        self.store.as_mut().expect("it is open")
    }

    fn reopen(&mut self) {
        drop(self.store.take());
        self.store = Some(SqliteStore::open(self.directory.path(), self.options.clone()).unwrap());
    }
}

mod memory {
    use super::*;

    bivouac_store::conformance!(InMemory(MemoryStore::default()));
}

mod sqlite {
    use super::*;

    bivouac_store::conformance!(OnDisk::new(SqliteOptions::default()));
}

mod sqlite_sealed {
    use super::*;

    bivouac_store::conformance!(OnDisk::new(SqliteOptions {
        encrypt_payloads: Some(MasterKey::from_bytes([3; 32])),
        page_size: 8192,
        ..SqliteOptions::default()
    }));
}
