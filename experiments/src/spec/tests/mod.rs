mod beyond;
mod clusters;
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
