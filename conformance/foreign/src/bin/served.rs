//! The trips agent on the embedded server, its memory in etcd: `served ETCD_URL WORLD_URL DATA_FOLDER`.

use bivouac::runtime::{DefaultRuntime, RuntimeError};
use foreign::{etcd::Etcd, native::Reqwest, trips};
use std::sync::Arc;

fn main() -> Result<(), RuntimeError> {
    let [etcd, world, data] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "three arguments")?;
    let memory = Etcd::new(Arc::new(Reqwest::default()), etcd);
    DefaultRuntime::new(trips::agents_of(&world))
        .named("trips", "1")
        .memory_service(Arc::new(memory))
        .listen(([127, 0, 0, 1], 0).into())
        .data(data)
        .serve()
}
