//! A test program that starts itself once more: a server in a process of its own, whose memory,
//! files and end are nobody else's.
//!
//! What the child runs is a test that is ignored, and does nothing unless [`is_child`].

use std::{
    io::{BufRead as _, BufReader},
    ops::{Deref, DerefMut},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, Iter, Receiver, TryIter},
};

use super::process::{PATIENCE, Process};

/// Set for children.
const IS_CHILD: &str = "IS_CHILD_OF_TEST";

pub fn is_child() -> bool {
    std::env::var_os(IS_CHILD).is_some()
}

/// A line for the parent, apart from what the test harness prints.
pub fn say(line: &str) {
    println!("child: {line}");
}

pub struct Child {
    process: Process,
    said: Receiver<String>,
}

impl Child {
    /// Starts this test of the same program.
    pub fn start(test: &str, variables: &[(&str, &str)]) -> Self {
        let mut process = Process::start(
            Command::new(std::env::current_exe().unwrap())
                .env(IS_CHILD, "1")
                .envs(variables.iter().copied())
                .args(["--ignored", "--exact", "--nocapture", test])
                .stdout(Stdio::piped()),
        );
        let lines = BufReader::new(process.stdout()).lines();
        let (says, said) = mpsc::channel();
        std::thread::spawn(move || {
            // The harness may have begun a line of its own.
            let of_child =
                lines.map_while(Result::ok).filter_map(|line| Some(line.split_once("child: ")?.1.to_owned()));
            of_child.for_each(|line| drop(says.send(line)));
        });
        Self { process, said }
    }

    /// What it says next.
    #[track_caller]
    pub fn next(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap()
    }

    /// What it has said, and nobody has taken yet.
    pub fn said(&self) -> TryIter<'_, String> {
        self.said.try_iter()
    }

    /// All that it has said to its end, and nobody has taken yet. Waits for that end.
    pub fn last_words(&self) -> Iter<'_, String> {
        self.said.iter()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        self.process.wait_for_end().expect("it ends")
    }
}

impl Deref for Child {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Child {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
