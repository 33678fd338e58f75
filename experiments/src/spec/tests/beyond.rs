//! What goes beyond the plain case: kinds of recovery, two stores, silent errors, epochs, replicas.

use super::*;

const BEYOND: &str = r#"name = "beyond"
seed = 1
trials = 2
levels = ["model"]

[job]
work = "10h"
replicas = { pairs = 10, restart = "at-checkpoints" }

[failures]
law = "exponential"
mtbf = "1h"
kinds = { guest-crash = 0.8, host-loss = 0.2 }
reboot = "5min"
hang_detection = "2min"
store_repair = "1h"
silent_mtbf = "20h"

[checkpoint]
cost = "10s"
restart = "20s"
verify = "20s"
verifications = 3
shared = { cost = "100s", restart = "5min" }
epochs = { length = "100ms", stop = "2ms", dirty_pages = 1000, page = "2us" }

[[policy]]
kind = "two-level"

[[policy]]
kind = "verified"

[[policy]]
kind = "epochs"
"#;

#[test]
fn what_goes_beyond_the_plain_case_is_read() {
    let spec = parse(BEYOND).unwrap();
    let rules = spec.settings[0].rules;
    assert_eq!(rules.hang_detection, Some(Duration::from_mins(2)));
    assert_eq!(rules.verification.unwrap().per_checkpoint, 3);
    assert_eq!(rules.epochs.unwrap().stop, Duration::from_millis(4));
    assert!(rules.replicas.unwrap().restart_at_checkpoints);
    let given = BEYOND.replace("restart = \"5min\" }", "restart = \"5min\", every = 7 }");
    let every = parse(&given).unwrap().settings[0].two_level.unwrap().shared_every;
    assert_eq!(every, Some(7));
}

const MEASURED: &str = "{ cost = \"measured\", restart = \"measured\" }";

/// `BEYOND` without these lines, at level `sim` too.
fn at_sim(without: &[&str]) -> String {
    let text = BEYOND
        .replace(
            "[\"model\"]",
            "[\"model\", \"sim\"]\nguest = { programs = [\"idle\"] }\nworld = { shared_medium = { write_per_s = \"100MiB\" } }",
        )
        .replace("{ cost = \"100s\", restart = \"5min\" }", MEASURED)
        .replace(
            "cost = \"10s\"\nrestart = \"20s\"",
            "cost = \"measured\"\nrestart = \"measured\"",
        )
        .replace(
            "host-loss = 0.2",
            "host-crash = 0.05, hang = 0.05, store-loss = 0.1",
        );
    let kept = |line: &&str| !without.iter().any(|key| line.starts_with(key));
    let lines: Vec<&str> = text.lines().filter(kept).collect();
    lines.join("\n")
}

#[test]
fn the_simulated_world_knows_all_but_epochs_and_replicas() {
    let alone = ["replicas", "epochs"];
    let policies = |text: String| text.replace("kind = \"epochs\"", "kind = \"daly\"");
    let known = parse(&policies(at_sim(&alone))).unwrap();
    let setting = &known.settings[0];
    assert!(setting.failures.kinds.hang > 0.0 && setting.failures.kinds.store_loss > 0.0);
    assert!(setting.rules.verification.is_some() && setting.rules.silent_mtbf.is_some());
    assert!(setting.rules.shared.is_some() && setting.two_level.is_some());
    for key in alone {
        let others: Vec<_> = alone.into_iter().filter(|other| *other != key).collect();
        let found = parse(&policies(at_sim(&others))).unwrap_err();
        let wanted = format!("{key} is known at level \"model\" only: take \"sim\" out of levels");
        assert!(found.contains(&wanted), "{found}");
    }
}

/// What of the second store cannot be: replaced in the spec of both levels.
#[rustfmt::skip]
const SHARED_COMPLAINTS: [(&str, &str, &str); 8] = [
    (MEASURED, "{ cost = \"100s\", restart = \"measured\" }", "x.toml:25: checkpoint.shared.cost: level \"sim\" has the cost its world has; write checkpoint.shared.cost = \"measured\""),
    (MEASURED, "{ cost = \"measured\", restart = \"5min\" }", "x.toml:25: checkpoint.shared.restart: level \"sim\" has"),
    (MEASURED, "{ cost = \"soon\", restart = \"5min\" }", "x.toml:25: \"soon\": expected a number"),
    ("world = { shared_medium = { write_per_s = \"100MiB\" } }", "", "x.toml:25: checkpoint.shared.cost = \"measured\" needs to know how fast the shared store is: add [world.shared_medium]"),
    ("write_per_s = \"100MiB\"", "write_per_s = \"0B\"", "x.toml:6: world: shared_medium.write_per_s must be at least 1B"),
    ("\"100MiB\"", "\"100MiB\", fsync = \"1s\"", "x.toml:6: unknown field `fsync`"),
    ("shared = { cost = \"measured\", restart = \"measured\" }\n", "", "x.toml:6: world.shared_medium is not used: write checkpoint.shared = { cost"),
    ("[\"model\", \"sim\"]", "[\"model\"]", ""),
];

#[test]
fn a_shared_store_at_level_sim_has_a_speed_and_measured_costs() {
    let good = at_sim(&["replicas", "epochs"]).replace("kind = \"epochs\"", "kind = \"daly\"");
    for (from, to, complaint) in SHARED_COMPLAINTS {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let text = if to.is_empty() && from.starts_with("shared") {
            text.replace("kind = \"two-level\"", "kind = \"young\"")
        } else {
            text
        };
        let found = parse(&text).err().unwrap_or_default();
        assert!(
            found.contains(complaint) && found.is_empty() == complaint.is_empty(),
            "{from} -> {to}:\n  found  {found}\n  wanted {complaint}"
        );
    }
    // At level `model` the two stores may be of one kind of costs or of both.
    let given = BEYOND.replace("cost = \"100s\"", "cost = \"measured\"");
    let found = parse(&given).unwrap_err();
    assert!(
        found.contains("x.toml:24: checkpoint.shared.cost and checkpoint.shared.restart must both"),
        "{found}"
    );
    let alone = BEYOND.replace("{ cost = \"100s\", restart = \"5min\" }", MEASURED);
    let found = parse(&alone).unwrap_err();
    assert!(
        found.contains("x.toml:24: checkpoint.shared.cost = \"measured\" needs checkpoint.cost and"),
        "{found}"
    );
}

#[rustfmt::skip]
const BEYOND_COMPLAINTS: [(&str, &str, &str); 11] = [
    ("pairs = 10", "pairs = 0", "x.toml:8: job.replicas.pairs = 0 must be between 1 and 10000000"),
    ("restart = \"at-checkpoints\"", "restart = \"soon\"", "x.toml:8: unknown variant `soon`, expected"),
    ("silent_mtbf = \"20h\"", "silent_mtbf = \"0s\"", "x.toml:17: failures.silent_mtbf = 0 must be at least 1ms"),
    ("silent_mtbf = \"20h\"\n", "", "policy verified needs failures.silent_mtbf and checkpoint.verify"),
    ("verify = \"20s\"\n", "", "x.toml:22: checkpoint.verifications needs checkpoint.verify"),
    ("verifications = 3", "verifications = 0", "x.toml:23: checkpoint.verifications = 0 must be between 1"),
    ("shared = { cost = \"100s\", restart = \"5min\" }\n", "", "policy two-level needs checkpoint.shared"),
    ("restart = \"5min\" }", "restart = \"5min\", every = 0 }", "x.toml:24: checkpoint.shared.every = 0 must be"),
    (", page = \"2us\"", "", "x.toml:25: checkpoint.epochs: dirty_pages and page (the time that one takes) go together"),
    ("length = \"100ms\"", "length = \"0s\"", "x.toml:25: checkpoint.epochs.length = 0 must be at least 1ms"),
    ("[\"model\"]", "[\"model\", \"sim\"]\nguest = { programs = [\"idle\"] }", "is known at level \"model\" only"),
];

#[test]
fn what_goes_beyond_the_plain_case_is_checked() {
    for (from, to, complaint) in BEYOND_COMPLAINTS {
        let text = BEYOND.replacen(from, to, 1);
        assert_ne!(text, BEYOND, "{from}");
        let text = if to.contains("sim") {
            text.replace(
                "cost = \"10s\"\nrestart = \"20s\"",
                "cost = \"measured\"\nrestart = \"measured\"",
            )
        } else {
            text
        };
        let found = parse(&text).expect_err(to);
        assert!(
            found.contains(complaint),
            "{from} -> {to}:\n  found  {found}\n  wanted {complaint}"
        );
    }
}
