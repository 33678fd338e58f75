//! Machines of a rig: booted, given orders, and cut off from power.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

/// A running machine. Dropped, it loses power.
#[derive(Debug)]
pub struct Machine {
    name: String,
    rig: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Machine {
    /// Boots a machine of a rig, a program of that command line, with options of its `up`.
    ///
    /// # Panics
    /// If it does not come up; so do all that want something of it.
    pub fn boot(
        name: &str,
        rig: PathBuf,
        environment: &[(&'static str, &Path)],
        options: &[&str],
    ) -> Machine {
        let environment = environment.iter().map(|&(name, value)| (name, value.to_owned()));
        let machine = Machine {
            name: name.to_owned(),
            rig,
            environment: environment.collect(),
        };
        machine.kill();
        machine.must(&[&["up", name], options].concat());
        machine
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.rig);
        command
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn rig(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("run the rig")
    }

    fn must(&self, arguments: &[&str]) -> String {
        let output = self.rig(arguments);
        assert!(
            output.status.success(),
            "rig {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Copies programs, with the libraries they need, into the machine's path.
    pub fn push(&self, programs: &[PathBuf]) {
        let programs: Vec<String> = programs.iter().map(|path| path.display().to_string()).collect();
        let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
        self.must(&[&["push", self.name.as_str()], &programs[..], &["/usr/bin"]].concat());
    }

    /// Runs a line of shell in the machine; what it printed.
    pub fn sh(&self, script: &str) -> String {
        self.must(&["sh", &self.name, "--timeout", "900", script])
    }

    /// Runs a line of shell in the machine that may fail: whether it did not, and what it said.
    pub fn try_sh(&self, script: &str) -> (bool, String) {
        let output = self.rig(&["sh", &self.name, "--timeout", "900", script]);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Starts a line of shell in the machine. What it prints is in a file of this machine as it comes: nothing of it is lost
    /// with the machine.
    pub fn start(&self, script: &str, output: &Path) -> Job {
        let file = File::create(output).expect("make the file");
        let errors = file.try_clone().expect("a second descriptor");
        let mut command = self.command(&["sh", &self.name, script]);
        let child = command.stdout(file).stderr(errors).spawn();
        Job {
            child: child.expect("run the rig"),
            output: output.to_owned(),
        }
    }

    /// Copies a file out of the machine into a directory.
    pub fn pull(&self, file: &str, into: &Path) {
        self.must(&["pull", &self.name, file, &into.display().to_string()]);
    }

    /// Pulls the plug.
    pub fn kill(&self) {
        drop(self.rig(&["kill", &self.name]));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A line of shell at work in a machine.
#[derive(Debug)]
pub struct Job {
    child: Child,
    output: PathBuf,
}

impl Job {
    /// What it has printed.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.output).expect("read the file")
    }

    /// Whether it is still at work.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("ask for the process").is_none()
    }

    /// Waits for its end, or for that of its machine: its exit status, 255 if the machine died, and what it printed.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("wait for the process");
        (status.code(), self.said())
    }
}
