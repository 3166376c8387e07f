#![doc = include_str!("../docs/troubleshooting.md")]
#![expect(clippy::doc_markdown, reason = "it quotes the program's output")]

#[cfg(all(test, feature = "tower"))]
mod tests;
