//! Starts the test program again as a child: a server in a separate process, whose memory, files
//! and exit can be observed.
//!
//! The child runs an ignored test, which does nothing unless [`is_child`].

use std::{
    io::{BufRead as _, BufReader},
    ops::{Deref, DerefMut},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, Iter, Receiver, TryIter},
};

use super::process::{PATIENCE, Process};

/// The variable that is set for children.
const IS_CHILD: &str = "IS_CHILD_OF_TEST";

pub fn is_child() -> bool {
    std::env::var_os(IS_CHILD).is_some()
}

/// Prints a line for the parent, marked so that it differs from the output of the test harness.
pub fn print_line(line: &str) {
    println!("child: {line}");
}

pub struct Child {
    process: Process,
    lines: Receiver<String>,
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
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // The test harness may have written the beginning of the line.
            let of_child =
                lines.map_while(Result::ok).filter_map(|line| Some(line.split_once("child: ")?.1.to_owned()));
            of_child.for_each(|line| drop(sender.send(line)));
        });
        Self { process, lines: receiver }
    }

    /// Waits for the next line.
    #[track_caller]
    pub fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Returns the lines that have not been read yet.
    pub fn unread_lines(&self) -> TryIter<'_, String> {
        self.lines.try_iter()
    }

    /// Returns all unread lines, and waits for the child's exit.
    pub fn remaining_lines(&self) -> Iter<'_, String> {
        self.lines.iter()
    }

    /// Waits for the child's exit.
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
