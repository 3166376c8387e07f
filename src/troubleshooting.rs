#![doc = include_str!("../docs/troubleshooting.md")]
#![expect(clippy::doc_markdown, reason = "it quotes what the program says")]

#[cfg(all(test, feature = "tower"))]
mod tests;
