//! The program `maepyo`: everything is in the library, so that tests can reach it.

/// Buyers' requests make many small allocations on many threads, which this one is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    maepyo::run()
}
