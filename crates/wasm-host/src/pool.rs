//! Pools of instance slots, one for each thread that drives.
//!
//! A slot keeps its pages when its instance ends, so the next instance finds them mapped, and in the cache of the core
//! that used them last. Two threads that share slots pass those pages from core to core with every life: on two cores
//! that took lives from 1.9 times those of one core down to 1.5. So each thread begins with a pool of its own, and takes
//! from another's only when its own is used up.

use crate::{config::HostConfig, error::HostError, ticker::Ticker};
use std::{
    cell::OnceCell,
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use wasmtime::Engine;

/// An engine with its slots.
pub(crate) struct Pool {
    pub(crate) engine: Engine,
    pub(crate) config: HostConfig,
    /// Shared by the pools of a host, and ended by whoever is last: host, module or instance.
    _ticker: Arc<Ticker>,
}

impl Pool {
    /// The pools of a host, which have as many slots together as it allows.
    pub(crate) fn all(config: &HostConfig) -> Result<Arc<[Arc<Self>]>, HostError> {
        let count = config.pools.clamp(1, config.max_instances.max(1));
        let engines = (0..count)
            .map(|index| {
                let slots = config.max_instances / count + u32::from(index < config.max_instances % count);
                Engine::new(&config.engine(slots)).map_err(|error| HostError::Engine {
                    max_instances: config.max_instances,
                    cause: format!("{error:#}"),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let ticker = Arc::new(Ticker::start(engines.clone())?);
        let pool = |engine| Arc::new(Self { engine, config: config.clone(), _ticker: Arc::clone(&ticker) });
        Ok(engines.into_iter().map(pool).collect())
    }
}

/// The numbers of the threads that drive. A number that is given back is given out again, so that threads that live
/// long have low and different ones.
static NUMBERS: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

struct Number(usize);

impl Number {
    fn take() -> Self {
        let mut taken = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (0..).find(|number| !taken.contains(number)).expect("there are fewer threads than numbers");
        taken.insert(free);
        Self(free)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// This thread's number, which says in which pool it looks first.
pub(crate) fn thread_number() -> usize {
    thread_local! {
        static NUMBER: OnceCell<Number> = const { OnceCell::new() };
    }
    // A thread that is ending has given its number back; any pool will do.
    NUMBER.try_with(|number| number.get_or_init(Number::take).0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_threads_have_different_numbers_and_a_thread_keeps_its_own() {
        let mine = thread_number();
        let (first, second) = std::thread::spawn(|| (thread_number(), thread_number())).join().unwrap();
        assert_ne!(mine, first);
        assert_eq!(first, second);
        assert_eq!(mine, thread_number());
    }
}
