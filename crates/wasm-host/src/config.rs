//! The limits of a host, each with its default, and what they mean to the WASM engine.

use std::{path::PathBuf, time::Duration};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The size of a page of WASM memory, in bytes.
pub(crate) const WASM_PAGE: usize = 64 << 10;

/// How often the clock of the time limit ticks; a drive may run longer than its limit by this much.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// How a host is set up. Every field has a default that suits a server of one machine.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The most instances that live at once. Each reserves 4 GiB of address space, takes up to four of the process's
    /// memory maps (Linux allows 65,530) and no memory until it is used.
    pub max_instances: u32,
    /// Over how many pools the instances are spread; one for each thread that drives, so that threads share no memory
    /// that changes. A thread whose pool is used up takes from the others'. Each holds every module's code once.
    pub pools: u32,
    /// The most memory of one instance, in bytes.
    pub max_memory_bytes: usize,
    /// The largest module, in bytes.
    pub max_module_bytes: usize,
    /// The most functions in a module.
    pub max_functions: u32,
    /// The largest function of a module, in bytes of its code.
    pub max_function_bytes: usize,
    /// The most elements of a module's function table.
    pub max_table_elements: u32,
    /// The largest manifest, in bytes.
    pub max_manifest_bytes: usize,
    /// The longest that one drive may compute, and `bivouac_configure` too.
    pub drive_time: Duration,
    /// The most bytes of the engine's stack that a guest may use. The thread that drives needs this much and 256 KiB.
    pub max_stack_bytes: usize,
    /// The largest frame given to a guest, in bytes.
    pub max_in_frame_bytes: usize,
    /// The largest frame taken from a guest, in bytes.
    pub max_out_frame_bytes: usize,
    /// The most bytes of log kept until [`crate::Instance::take_log`] takes them.
    pub max_log_bytes: usize,
    /// How much memory an unused instance slot keeps for its next instance, in bytes: what a guest touches in a usual
    /// life, so that neither its start nor its end changes the process's memory map.
    pub keep_resident_bytes: usize,
    /// Where compiled modules are kept. The host makes the directory and lets nobody else write to it, since what is in
    /// there is executed. Without one, every module is compiled at every start.
    pub cache_dir: Option<PathBuf>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            max_instances: 1_000,
            pools: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1)),
            max_memory_bytes: 64 << 20,
            max_module_bytes: 16 << 20,
            max_functions: 50_000,
            max_function_bytes: 1 << 20,
            max_table_elements: 20_000,
            max_manifest_bytes: 1 << 20,
            drive_time: Duration::from_secs(1),
            max_stack_bytes: 512 << 10,
            max_in_frame_bytes: 16 << 20,
            max_out_frame_bytes: 16 << 20,
            max_log_bytes: 64 << 10,
            keep_resident_bytes: 1 << 20,
            cache_dir: None,
        }
    }
}

impl HostConfig {
    /// How many ticks a drive may see: one more than fit into its limit, since the first may come at once.
    pub(crate) fn drive_ticks(&self) -> u64 {
        u64::try_from(self.drive_time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX / 2) + 1
    }

    /// The settings of an engine with that many slots. Whatever changes the code that it compiles changes the cache's key by itself.
    pub(crate) fn engine(&self, slots: u32) -> Config {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(slots)
            .total_memories(slots)
            .total_tables(slots)
            .max_memory_size(self.max_memory_bytes)
            .table_elements(self.max_table_elements as usize)
            .max_unused_warm_slots(slots)
            .linear_memory_keep_resident(self.keep_resident_bytes)
            .table_keep_resident(self.max_table_elements as usize * size_of::<usize>())
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .memory_init_cow(true)
            .epoch_interruption(true)
            .max_wasm_stack(self.max_stack_bytes)
            // The same bits from the same journal on every machine.
            .cranelift_nan_canonicalization(true)
            .wasm_relaxed_simd(false)
            .wasm_multi_memory(false)
            .wasm_memory64(false)
            .wasm_tail_call(false)
            // Guests are stripped: a backtrace would hold numbers only, and cost its collection at every trap.
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false)
            .native_unwind_info(false);
        config
    }
}
