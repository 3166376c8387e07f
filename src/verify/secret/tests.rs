use super::*;

#[test]
fn blank_secrets_are_refused() {
    for text in ["", " ", "\n", "\t \r\n", "\0", "\u{a0}"] {
        assert_eq!(Secret::new(text).unwrap_err(), ConfigError::BlankSecret, "{text:?}");
    }
}

#[test]
fn the_text_is_kept_as_it_is() {
    assert_eq!(Secret::new(" pässword\n").unwrap().expose_secret(), " pässword\n");
}

/// Looks at the memory where a secret was, by way of the operating system: no `unsafe` needed, and Linux only.
#[cfg(all(target_os = "linux", not(miri)))]
mod memory {
    use std::{fs::File, os::unix::fs::FileExt};

    use super::*;
    use crate::verify::Verifier;

    const TEXT: &str = "5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f";

    /// A piece of this process's memory, whatever is there now.
    struct Piece {
        memory: File,
        at: u64,
        found: Vec<u8>,
    }

    impl Piece {
        /// Reserves all it needs beforehand, so that nothing is put where the secret was.
        fn of<T: ?Sized>(value: &T) -> Self {
            let at = (std::ptr::from_ref(value).cast::<u8>() as usize).try_into().unwrap();
            Self { memory: File::open("/proc/self/mem").unwrap(), at, found: vec![0; size_of_val(value)] }
        }

        fn look(&mut self) -> &[u8] {
            self.memory.read_exact_at(&mut self.found, self.at).unwrap();
            &self.found
        }
    }

    /// Behind what the allocator writes into memory that is free.
    const OWN_BY_ALLOCATOR: usize = 32;

    #[test]
    fn shows_a_string_that_was_dropped() {
        let text = String::from(TEXT);
        let mut piece = Piece::of(text.as_str());
        drop(text);
        assert_eq!(
            piece.look()[OWN_BY_ALLOCATOR..],
            TEXT.as_bytes()[OWN_BY_ALLOCATOR..],
            "or the others prove nothing"
        );
    }

    #[test]
    fn shows_no_secret_that_was_dropped() {
        let secret = Secret::new(TEXT).unwrap();
        let mut piece = Piece::of(secret.expose_secret());
        assert_eq!(piece.look(), TEXT.as_bytes());
        drop(secret);
        assert_eq!(piece.look()[OWN_BY_ALLOCATOR..], [0; TEXT.len() - OWN_BY_ALLOCATOR]);
    }

    /// Setting up a verifier leaves no copy behind: the text stays where the caller put it.
    #[test]
    fn shows_no_secret_of_a_verifier_that_was_dropped() {
        let text = String::from(TEXT);
        let mut piece = Piece::of(text.as_str());
        let verifier = Verifier::builder().secret(Secret::new(text).unwrap()).build().unwrap();
        let clone = verifier.clone();
        drop(verifier);
        assert_eq!(piece.look(), TEXT.as_bytes());
        drop(clone);
        assert_eq!(piece.look()[OWN_BY_ALLOCATOR..], [0; TEXT.len() - OWN_BY_ALLOCATOR]);
    }

    /// From which signatures could be made as well as from the text.
    #[test]
    fn shows_no_key_schedule_that_was_dropped() {
        let secret = Box::new([Secret::new("another").unwrap(), Secret::new(TEXT).unwrap()]);
        let mut piece = Piece::of(&secret[1].mac);
        let before = piece.look().to_vec();
        assert!(before.windows(8).filter(|eight| !eight.contains(&0)).count() > 30, "it is there: {before:?}");
        drop(secret);
        let after = piece.look();
        let kept =
            before.chunks(4).zip(after.chunks(4)).filter(|(before, after)| before == after && !before.contains(&0));
        assert_eq!(kept.count(), 0, "{before:?} became {after:?}");
    }
}
