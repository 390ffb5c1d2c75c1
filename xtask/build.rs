//! Tells xtask which target it was built for, so that it asks cargo about that one alone.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-env=XTASK_HOST={}",
        std::env::var("TARGET").expect("cargo names the target to build scripts")
    );
}
