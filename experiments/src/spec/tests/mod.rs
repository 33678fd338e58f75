mod logs;
mod slips;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::failures::{Bursts, Law, Process, Rejuvenate};

const GOOD: &str = r#"name = "a-test"
question = "what for?"
seed = 7
trials = 3
levels = ["model"]

[job]
work = "10h"

[failures]
law = "exponential"
mtbf = ["1h", "2h"]

[checkpoint]
cost = "60s"
restart = "2min"

[[policy]]
kind = "fixed"
interval = ["10min", "20min"]

[[policy]]
kind = "young"
"#;

fn parse(text: &str) -> Result<Spec, String> {
    Spec::parse(text, Path::new("x.toml")).map_err(|error| error.to_string())
}

#[test]
fn a_good_spec_is_read_with_its_defaults() {
    let spec = parse(GOOD).unwrap();
    let setting = &spec.settings[0];
    assert_eq!(
        setting.failures.mtbf,
        [Duration::from_secs(3600), Duration::from_secs(7200)]
    );
    assert_eq!(
        spec.trials,
        Trials {
            model: Some(3),
            sim: None,
            cluster: None
        }
    );
    assert_eq!(setting.checkpoint.restart, Cost::Given(Duration::from_secs(120)));
    assert_eq!(setting.limits.time, Duration::from_secs(3_600_000));
    assert_eq!(spec.points(), 6);
    assert_eq!(spec.source, GOOD);
}

/// What to replace, by what, and how the complaint begins or what it contains.
#[rustfmt::skip]
const COMPLAINTS: [(&str, &str, &str); 33] = [
    ("work = \"10h\"", "work = \"10h\"\nwrok = 1", "x.toml:9: unknown field `wrok`, expected"),
    ("work = \"10h\"", "work = 600", "x.toml:8: invalid type: integer `600`, expected a duration with units"),
    ("work = \"10h\"", "work = \"10m\"", "x.toml:8: \"10m\": unknown unit \"m\"; expected a duration with units"),
    ("work = \"10h\"", "work = \"0\"", "x.toml:8: job.work = 0 must be at least 1ms"),
    ("seed = 7", "seed = -7", "x.toml:3: invalid value: integer `-7`"),
    ("trials = 3", "trials = 0", "x.toml:4: trials = 0 must be between 1 and 100000000"),
    ("trials = 3", "trials = { sim = 3 }", "x.toml:4: trials gives no number for level model"),
    ("trials = 3", "trials = { model = 1, sim = 3 }", "x.toml:4: trials gives a number for level sim, which"),
    ("trials = 3", "trials = { modle = 3 }", "x.toml:4: unknown field `modle`, expected one of `model`, `sim`, `cluster`"),
    ("[\"model\"]", "[]", "x.toml:5: levels lists nothing"),
    ("[\"model\"]", "[\"modle\"]", "x.toml:5: unknown variant `modle`, expected one of `model`, `sim`, `cluster`"),
    ("[\"model\"]", "[\"model\", \"sim\"]", "x.toml:15: checkpoint.cost: level \"sim\" has the cost its world"),
    ("cost = \"60s\"", "cost = \"measured\"", "x.toml:15: checkpoint.cost and checkpoint.restart must both be"),
    ("cost = \"60s\"", "cost = \"0s\"", "x.toml:15: checkpoint.cost = 0 must be at least 1ms"),
    ("cost = \"60s\"", "cost = \"soon\"", "x.toml:15: \"soon\": expected a number at \"soon\"; expected a dur"),
    ("[job]", "[guest]\nprograms = [\"idle\"]\n[job]", "x.toml:7: [guest] is not used"),
    ("[job]", "[world]\nrepresents = 2\n[job]", "x.toml:7: [world] is not used"),
    ("\"2h\"]", "\"60min\"]", "x.toml:12: failures.mtbf has 1h twice"),
    ("[\"1h\", \"2h\"]", "[]", "x.toml:12: failures.mtbf lists nothing: give at least one mean time between"),
    ("interval = [\"10min\", \"20min\"]", "", "x.toml:19: policy fixed needs interval: work between two checkpoints"),
    ("kind = \"young\"", "kind = \"young\"\ninterval = [\"1h\"]", "x.toml:24: policy young has no parameter interval; its parameters: none"),
    ("kind = \"young\"", "kind = \"fixed\"\ninterval = \"20min\"", "x.toml:24: policy has fixed(interval=20min) twice"),
    ("kind = \"young\"", "kind = \"yuong\"", "x.toml:23: there is no policy yuong; there are fixed, young, "),
    ("kind = \"young\"", "kind = \"lazy\"", "x.toml:23: policy lazy needs shape: k, the shape"),
    ("kind = \"young\"", "kind = \"lazy\"\nshape = [0.5, 7]", "x.toml:24: policy lazy: shape must be between 0.1 and 1"),
    ("kind = \"young\"", "kind = \"lazy\"\nshape = \"k\"", "x.toml:24: policy lazy: shape: expected a number, or a list"),
    ("kind = \"young\"", "kind = \"adaptive\"\nprior = 0\nweight = 1", "x.toml:24: policy adaptive: prior must be between"),
    ("kind = \"young\"", "shape = 0.6", "x.toml:22: a policy needs kind"),
    ("[\"10min\", \"20min\"]", "[10]", "x.toml:20: policy fixed: interval: expected a duration such as \"10min\""),
    ("\"a-test\"", "\"a test\"", "x.toml:1: name \"a test\": use letters"),
    ("[job]", "[limits]\ntime = \"1h\"\n[job]", "x.toml:8: limits.time = 1h must be at least 10h"),
    ("seed = 7\n", "", "missing field `seed`"),
    ("[job]", "[job", "x.toml:7: "),
];

#[test]
fn every_complaint_names_file_line_and_what_would_be_right() {
    for (from, to, complaint) in COMPLAINTS {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let found = parse(&text).expect_err(to);
        assert!(
            found.contains(complaint),
            "{from} -> {to}:\n  found  {found}\n  wanted {complaint}"
        );
    }
}

/// The same for a spec with a guest.
#[rustfmt::skip]
const GUEST_COMPLAINTS: [(&str, &str, &str); 8] = [
    ("[guest]\nprograms = [\"stencil\", \"idle\"]\n", "", "x.toml:16: \"measured\" needs a guest: add [guest]"),
    ("\"idle\"]", "\"nothing\"]", "x.toml:21: no guest program \"nothing\": there is idle, stencil"),
    ("\"idle\"]", "\"idle\"]\nmemory = \"1KiB\"", "x.toml:22: guest.memory = 1KiB must be a multiple of 4KiB between 32KiB"),
    ("\"idle\"]", "\"idle\"]\nmemory = \"33KiB\"", "x.toml:22: guest.memory = 33KiB must be a multiple of 4KiB"),
    ("\"idle\"]", "\"idle\"]\nstep = \"7s\"", "x.toml:9: job.work = 10h must be a multiple of guest.step = 7s"),
    ("\"idle\"]", "\"idle\"]\nstep = \"0s\"", "x.toml:22: guest.step = 0 must be at least 1ms"),
    ("[guest]", "[world]\nrepresents = 0\n[guest]", "x.toml:20: world: represents must be at least 1"),
    ("[guest]", "[world.medium]\nfsync = \"1s\"\n[guest]", "x.toml:21: unknown field `fsync`, expected"),
];

#[test]
fn complaints_about_the_guest_do_too() {
    let good = GOOD
        .replace("seed = 7\n", "seed = 7\n\n")
        .replace("\"60s\"", "\"measured\"")
        .replace(
            "\"2min\"",
            "\"measured\"\n\n\n[guest]\nprograms = [\"stencil\", \"idle\"]",
        );
    let spec = parse(&good).unwrap();
    let guest = spec.settings[0].guest.clone().unwrap();
    assert_eq!(
        (guest.pages, guest.step, guest.programs.len()),
        (64, Duration::from_secs(1), 2)
    );
    for (from, to, complaint) in GUEST_COMPLAINTS {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let found = parse(&text).expect_err(to);
        assert!(
            found.contains(complaint),
            "{from} -> {to}:\n  found  {found}\n  wanted {complaint}"
        );
    }
}

/// `[failures]` with these lines in place of the law.
fn failures(lines: &str) -> Result<Failures, String> {
    let spec = parse(&GOOD.replace("law = \"exponential\"", lines))?;
    Ok(spec.settings[0].failures.clone())
}

#[test]
fn laws_are_read() {
    let law = |text: &str| match failures(text).unwrap().process {
        Process::Drawn { law, .. } => law,
        Process::Recorded(log) => panic!("{log:?}"),
    };
    assert_eq!(law("law = { weibull = 0.7 }"), Law::Weibull { shape: 0.7 });
    assert_eq!(law("law = { lognormal = 1.2 }"), Law::LogNormal { sigma: 1.2 });
    assert_eq!(law("law = { gamma = 3.0 }"), Law::Gamma { shape: 3.0 });
    let bathtub = "law = { bathtub = { infant_shape = 0.5, infant_share = 0.1, wear_out_shape = 3.0, wear_out_share = 0.2 } }";
    assert_eq!(law(bathtub).name(), "bathtub");
    let many = failures(
        "law = { weibull = 0.7 }\nnodes = 100\nrejuvenate = \"all\"\nbursts = { probability = 0.5, delay = \"1min\" }",
    );
    let Process::Drawn {
        nodes,
        rejuvenate,
        bursts,
        ..
    } = many.unwrap().process
    else {
        panic!("drawn")
    };
    assert_eq!((nodes, rejuvenate), (100, Rejuvenate::All));
    assert_eq!(
        bursts,
        Some(Bursts {
            probability: 0.5,
            delay: Duration::from_secs(60)
        })
    );
}

#[test]
fn failures_that_make_no_sense_are_refused_with_their_line() {
    for (lines, complaint) in [
        (
            "law = \"weibul\"",
            "x.toml:11: unknown variant `weibul`, expected one of",
        ),
        ("law = \"weibull\"", "x.toml:11: "),
        (
            "law = { weibull = 0.0 }",
            "x.toml:11: failures.law: the shape of weibull must be between 0.1 and 20",
        ),
        (
            "law = { weibull = nan }",
            "x.toml:11: failures.law: the shape of weibull must be between 0.1 and 20",
        ),
        ("law = { weibull = \"k\" }", "x.toml:11: invalid type: string"),
        (
            "law = { bathtub = { infant_shape = 2.0, infant_share = 0.1, wear_out_shape = 3.0, wear_out_share = 0.2 } }",
            "x.toml:11: failures.law: bathtub: infant_shape must",
        ),
        (
            "law = \"exponential\"\nnodes = 0",
            "x.toml:12: failures.nodes = 0 must be between 1 and 10000000",
        ),
        (
            "law = \"exponential\"\nrejuvenate = \"some\"",
            "x.toml:12: unknown variant `some`",
        ),
        (
            "law = \"exponential\"\nbursts = { probability = 1.0, delay = \"1min\" }",
            "x.toml:12: failures.bursts.probability must",
        ),
        (
            "law = \"exponential\"\nbursts = { probability = 0.9, delay = \"5h\" }",
            "x.toml:12: failures.bursts: probability × delay",
        ),
        (
            "law = \"exponential\"\nkinds = { hang = 0.5 }",
            "x.toml:12: failures.kinds must be shares between 0 and 1 that add",
        ),
        (
            "law = \"exponential\"\nkinds = { hang = nan, guest-crash = 1.0 }",
            "x.toml:12: failures.kinds must be shares",
        ),
        (
            "law = \"exponential\"\nkinds = { hung = 0.5 }",
            "x.toml:12: unknown field `hung`",
        ),
        (
            "law = { log = { file = \"absent.csv\", format = \"csv\", mode = \"replay\" } }",
            "x.toml:11: failures.law: log: cannot read absent.csv: ",
        ),
        (
            "law = { log = { file = \"absent.csv\", format = \"cvs\", mode = \"replay\" } }",
            "x.toml:11: unknown variant `cvs`",
        ),
        (
            "law = { log = { file = \"a\", format = \"csv\", mode = \"bootstrap\", start = \"1h\" } }",
            "x.toml:11: failures.law: log: start goes with mode = \"replay\" alone",
        ),
        (
            "law = { log = { file = \"a\", format = \"csv\", mode = \"replay\" } }\nnodes = 3",
            "x.toml:12: failures.nodes is not used",
        ),
    ] {
        let found = failures(lines).expect_err(lines);
        assert!(
            found.contains(complaint),
            "{lines}:\n  found  {found}\n  wanted {complaint}"
        );
    }
}

#[test]
fn a_law_that_is_drawn_needs_an_mtbf() {
    let missing = parse(&GOOD.replace("mtbf = [\"1h\", \"2h\"]\n", "")).unwrap_err();
    assert!(
        missing.starts_with("x.toml:11: failures.mtbf is missing"),
        "{missing}"
    );
}

/// What a sweep of the good spec makes.
fn swept(sweep: &str) -> Result<Spec, String> {
    parse(&format!("{GOOD}\n[sweep]\n{sweep}"))
}

#[test]
fn a_sweep_multiplies_the_points_in_the_order_of_its_keys() {
    let sweep = r#""job.work" = ["10h", "20h"]
"failures.detection" = ["1s", "2s"]
"checkpoint.cost" = ["60s", "90s"]
"limits.failures" = { from = 10, to = 1000, points = 3, scale = "log" }
zip = [["checkpoint.cost", "failures.detection"]]
"#;
    let spec = swept(sweep).unwrap();
    let seen: Vec<_> = spec
        .settings
        .iter()
        .map(|setting| {
            let hours = setting.job.work.as_secs() / 3600;
            let detection = setting.failures.detection.as_secs();
            (
                hours,
                detection,
                setting.checkpoint.cost,
                setting.limits.failures,
                setting.name.as_str(),
            )
        })
        .collect();
    let cost = |seconds| Cost::Given(Duration::from_secs(seconds));
    assert_eq!(seen.len(), 12);
    assert_eq!(
        seen[0],
        (10, 1, cost(60), 10, "failures.detection_s=1;limits.failures=10")
    );
    assert_eq!(
        seen[2],
        (
            10,
            1,
            cost(60),
            1000,
            "failures.detection_s=1;limits.failures=1000"
        )
    );
    assert_eq!(
        seen[4],
        (10, 2, cost(90), 100, "failures.detection_s=2;limits.failures=100")
    );
    assert_eq!(
        seen[11],
        (
            20,
            2,
            cost(90),
            1000,
            "failures.detection_s=2;limits.failures=1000"
        )
    );
    assert_eq!(spec.points(), 12 * 6);
}

#[test]
fn ranges_are_spread_evenly_and_hold_their_ends() {
    let works = |range: &str| -> Vec<u128> {
        let spec = swept(&format!("\"job.work\" = {range}")).unwrap();
        spec.settings
            .iter()
            .map(|setting| setting.job.work.as_nanos())
            .collect()
    };
    let hour = 3_600_000_000_000;
    let linear = works(r#"{ from = "1h", to = "5h", points = 3, scale = "linear" }"#);
    assert_eq!(linear, [hour, 3 * hour, 5 * hour]);
    let log = works(r#"{ from = "1h", to = "100h", points = 3, scale = "log" }"#);
    assert_eq!((log[0], log[2]), (hour, 100 * hour));
    assert!(log[1].abs_diff(10 * hour) < 10, "{}", log[1]);
}

/// A swept value that makes no spec is complained about at its place in the sweep, which begins on line 26.
#[test]
fn a_bad_sweep_is_refused_with_its_line() {
    for (sweep, complaint) in [
        (
            "\"job.work\" = [\"1h\", \"0\"]",
            "x.toml:26: job.work = 0 must be at least 1ms",
        ),
        ("\"job.wrok\" = [\"1h\"]", "x.toml:26: unknown field `wrok`"),
        ("\"jbo.work\" = [\"1h\"]", "x.toml:26: unknown field `jbo`"),
        (
            "\"name.work\" = [\"1h\"]",
            "x.toml:26: sweep: name.work holds for the whole run",
        ),
        (
            "\"seed\" = [1, 2]",
            "x.toml:26: sweep: seed holds for the whole run",
        ),
        (
            "\"job.work\" = \"1h\"",
            "x.toml:26: sweep: job.work needs a list of values, or a range",
        ),
        ("\"job.work\" = []", "x.toml:26: sweep: job.work lists nothing"),
        (
            "\"job.work\" = [\"1h\", \"1h\"]",
            "x.toml:26: sweep: job.work has 1h twice",
        ),
        (
            "\"policy.7.kind\" = [\"young\"]",
            "x.toml:26: sweep: policy.7.kind is not a place in this spec",
        ),
        (
            "\"job.work\" = { from = \"1h\", to = \"2h\" }",
            "x.toml:26: sweep: job.work: write { from",
        ),
        (
            "\"job.work\" = { from = \"2h\", to = \"1h\", points = 3, scale = \"log\" }",
            "x.toml:26: sweep: job.work: from and",
        ),
        (
            "\"job.work\" = { from = \"0\", to = \"1h\", points = 3, scale = \"log\" }",
            "x.toml:26: sweep: job.work: from and",
        ),
        (
            "\"limits.failures\" = { from = 1, to = 3, points = 9, scale = \"log\" }",
            "two points come out as the same",
        ),
        (
            "\"job.work\" = { from = \"1h\", to = \"2h\", points = 1, scale = \"log\" }",
            "points must be between 2 and 1000",
        ),
        (
            "\"job.work\" = [\"1h\"]\nzip = [\"job.work\"]",
            "x.toml:27: sweep: zip must be a list of lists",
        ),
        (
            "\"job.work\" = [\"1h\"]\nzip = [[\"job.wrok\"]]",
            "x.toml:27: sweep: zip names job.wrok, which",
        ),
        (
            "\"job.work\" = [\"1h\"]\n\"limits.failures\" = [1, 2]\nzip = [[\"job.work\", \"limits.failures\"]]",
            "has 2 values and job.work, with",
        ),
        ("", "x.toml:25: sweep lists nothing"),
    ] {
        let found = swept(sweep).expect_err(sweep);
        assert!(
            found.contains(complaint),
            "{sweep}:\n  found  {found}\n  wanted {complaint}"
        );
    }
}

#[test]
fn a_sweep_that_nobody_means_is_refused_before_it_is_made() {
    let many = r#""limits.failures" = { from = 1, to = 1000, points = 1000, scale = "linear" }
"job.work" = { from = "1h", to = "2h", points = 1000, scale = "linear" }"#;
    assert!(swept(many).unwrap_err().contains("more than 10000 settings"));
}

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

/// A cluster with two stores.
const CLUSTER: &str = r#"name = "c"
seed = 1
trials = 1
levels = ["cluster"]
[job]
work = "1h"
[failures]
law = "exponential"
mtbf = "1h"
[checkpoint]
cost = "1s"
restart = "1s"
[cluster]
hosts = 4
slots_per_host = 2
memory_per_host = "4GiB"
[cluster.workload]
jobs = 10
memory = "1GiB"
[cluster.store.disk]
kind = "local"
bandwidth = "1GiB"
[cluster.store.nfs]
kind = "shared"
[[policy]]
kind = "young"
"#;

const CLUSTER_COMPLAINTS: &[(&str, &str, &str)] = &[
    ("[\"cluster\"]", "[\"model\"]", "x.toml:13: [cluster] is not used"),
    (
        "[\"cluster\"]",
        "[\"cluster\", \"sim\"]",
        "x.toml:4: level \"cluster\" simulates no guests",
    ),
    (
        "hosts = 4",
        "hosts = 0",
        "x.toml:14: cluster.hosts = 0 must be between 1 and 1000000",
    ),
    ("hosts = 4", "host = 4", "x.toml:14: unknown field `host`"),
    ("memory_per_host = \"4GiB\"", "memory_per_host = 4", "x.toml:16: "),
    (
        "\"4GiB\"",
        "\"512MiB\"",
        "x.toml:19: cluster.workload.memory: a VM of such a job needs more",
    ),
    (
        "jobs = 10",
        "jobs = 10\nwidth = 9",
        "x.toml:19: cluster.workload.width = 9 is more than the 8 slots",
    ),
    (
        "jobs = 10",
        "arrivals = \"exponential\"\njobs = 10",
        "x.toml:18: cluster.workload.arrivals needs",
    ),
    (
        "jobs = 10",
        "length = { weibull = 0.01 }\njobs = 10",
        "x.toml:18: cluster.workload: the shape of weibull",
    ),
    (
        "jobs = 10\n",
        "",
        "x.toml:17: cluster.workload needs jobs = N, or trace",
    ),
    (
        "jobs = 10",
        "trace = { file = \"none.swf\", format = \"swf\" }",
        "x.toml:18: cluster.workload.trace: cannot read",
    ),
    (
        "bandwidth = \"1GiB\"",
        "stream_bandwidth = \"1GiB\"",
        "x.toml:22: stream_bandwidth needs bandwidth",
    ),
    (
        "bandwidth = \"1GiB\"",
        "bandwidth = \"0B\"",
        "x.toml:22: cluster.store.bandwidth = 0 must be",
    ),
    (
        "bandwidth = \"1GiB\"",
        "count = 2",
        "x.toml:22: count is for shared stores",
    ),
    (
        "kind = \"shared\"",
        "kind = \"shared\"\nsurvives_host_loss = false",
        "x.toml:25: a shared store survives",
    ),
    (
        "kind = \"shared\"",
        "kind = \"tape\"",
        "x.toml:24: unknown variant `tape`",
    ),
    (
        "kind = \"shared\"",
        "kind = \"local\"",
        "checkpoints go to one store of kind \"local\" at most",
    ),
    (
        "hosts = 4",
        "hosts = 4\ncheckpoint_to = [\"tape\"]",
        "x.toml:15: cluster.checkpoint_to: there is no",
    ),
    (
        "hosts = 4",
        "hosts = 4\ncheckpoint_to = []",
        "checkpoints need a store",
    ),
    (
        "hosts = 4",
        "hosts = 4\ncheckpoint_to = [\"nfs\"]\nshared_every = 2",
        "x.toml:16: cluster.shared_every needs a local and",
    ),
    (
        "mtbf = \"1h\"",
        "mtbf = \"1h\"\nnodes = 3",
        "failures.nodes is not known at level \"cluster\"",
    ),
    (
        "mtbf = \"1h\"",
        "mtbf = \"1h\"\nreboot = \"1s\"\nsilent_mtbf = \"9h\"",
        "x.toml:11: failures.silent_mtbf is not known at level",
    ),
    (
        "restart = \"1s\"",
        "restart = \"1s\"\nshared = { cost = \"1s\", restart = \"1s\" }",
        "checkpoint.shared is not known at level",
    ),
    ("kind = \"young\"", "kind = \"verified\"", "policy verified needs"),
];

#[test]
fn complaints_about_the_cluster_do_too() {
    assert!(parse(CLUSTER).unwrap().settings[0].cluster.is_some());
    assert!(parse(&CLUSTER.replace("\"young\"", "\"two-level\"")).is_ok());
    let mut wrong = Vec::new();
    for (from, to, complaint) in CLUSTER_COMPLAINTS {
        let text = CLUSTER.replacen(from, to, 1);
        assert_ne!(text, CLUSTER, "{from}");
        let found = parse(&text).err().unwrap_or_default();
        if !found.contains(complaint) {
            wrong.push(format!(
                "{from} -> {to}:
  found  {found}
  wanted {complaint}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}",
        wrong.join(
            "
"
        )
    );
}
