//! Compares twenty-webhook with similar crates. `BENCHMARKS.md` explains the measurements.
//!
//! `peers GROUP` measures one group and prints the figures of each round as JSON.

mod claims;
mod delivery;
mod end_to_end;
mod events;
mod load;
mod process;
mod race;
mod serve;
mod stalled;
mod verify;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let results = match arguments[..] {
        ["serve", route, redis_url] => return serve::run(route, redis_url),
        ["verify"] => verify::run(),
        ["events"] => events::run(),
        ["claims"] => claims::run(),
        ["end-to-end"] => end_to_end::run(),
        ["stalled"] => stalled::run(),
        _ => {
            eprintln!("peers verify | events | claims | end-to-end | stalled");
            std::process::exit(2);
        }
    };
    println!("{results}");
}
