//! Figures of a made-up run, looked at as SVG, as PNG and as a layout.

mod bad_input;
mod layout;
pub(in crate::plot) mod world;

use std::fs;
use std::path::Path;

use revenant_core::clock::SystemClock;
use std::sync::atomic::AtomicBool;

use super::{Column, Format, PlotOptions, plot_dir};
use crate::{RunOptions, Spec, run};
use world::World;

const BOTH: [Format; 2] = [Format::Svg, Format::Png];

fn options(formats: &[Format], column: Column) -> PlotOptions {
    PlotOptions {
        formats: formats.to_vec(),
        column,
    }
}

fn svg(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("figures").join(name)).unwrap()
}

/// The content of the groups of a class, one string a group. Groups of figures are not nested.
fn groups<'a>(svg: &'a str, class: &str) -> Vec<&'a str> {
    svg.split(&format!("<g class=\"{class}\">\n"))
        .skip(1)
        .map(|rest| rest.split("</g>").next().unwrap())
        .collect()
}

#[test]
fn the_waste_figure_shows_every_cell_with_units_and_theory() {
    let folder = World::default().write();
    plot_dir(folder.path(), &options(&BOTH, Column::One)).unwrap();
    let svg = svg(folder.path(), "waste-by-interval.svg");
    for text in [
        "Checkpoint interval τ",
        "Waste (%)",
        ">10 min<",
        ">MTBF<",
        ">Model<",
        ">Simulation<",
        ">Theory<",
        ">Daly (higher order)<",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.contains("width=\"252pt\"") && svg.contains("viewBox=\"0 0 252 "));
    assert!(svg.contains("font-family=\"'Liberation Sans', Arial, Helvetica, sans-serif\""));
    // Three MTBFs by six intervals. A circle, square or triangle each; open ones have an outline.
    let marks = |class: &str| -> usize {
        let filled = |line: &&str| line.contains(" fill=");
        groups(&svg, class)
            .iter()
            .map(|group| group.lines().filter(filled).count())
            .sum()
    };
    assert_eq!((marks("Model"), marks("Simulation")), (18, 18));
    // A bar and two caps each.
    let bars = groups(&svg, "Simulation")[0];
    assert_eq!(
        bars.lines().filter(|line| !line.contains(" fill=")).count(),
        18 * 3
    );
    let [theory] = groups(&svg, "theory")[..] else {
        panic!("one group of curves")
    };
    assert_eq!(theory.matches("<path").count(), 3);
    let dashes: Vec<_> = theory.matches("stroke-dasharray").collect();
    assert_eq!(dashes.len(), 2, "one solid, two dashed");
    // Two policies, three MTBFs.
    assert_eq!(groups(&svg, "optima")[0].matches("<path").count(), 6);
}

#[test]
fn lost_work_policies_and_latency_have_figures_too() {
    let folder = World::default().write();
    let written = plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap();
    let names: Vec<_> = written
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    let wanted = [
        "waste-by-mtbf",
        "waste-fixed-by-interval-and-mtbf",
        "waste-fixed-by-interval-and-mtbf-2",
        "waste-by-interval",
        "lost-work-by-interval",
        "policies",
        "latency",
        "latency-cdf",
    ];
    let wanted: Vec<String> = wanted
        .iter()
        .flat_map(|stem| [format!("{stem}.svg"), format!("{stem}.txt")])
        .collect();
    assert_eq!(names, wanted);
    let lost = svg(folder.path(), "lost-work-by-interval.svg");
    assert!(lost.contains("Work lost (h)") && groups(&lost, "theory")[0].matches("<path").count() == 3);
    let policies = svg(folder.path(), "policies.svg");
    assert_eq!(policies.matches(">Never<").count(), 3);
    assert!(policies.contains("Fixed, 1–32 min") && policies.contains(">100<"));
    let latency = svg(folder.path(), "latency.svg");
    for text in [
        "Guest suspended (s)",
        "Recovery time (s)",
        "Percentile (%)",
        ">99.9<",
    ] {
        assert!(latency.contains(text), "{text}");
    }
}

#[test]
fn captions_say_n_level_conditions_and_command() {
    let folder = World::default().write();
    plot_dir(folder.path(), &options(&[Format::Svg], Column::Two)).unwrap();
    let caption = svg(folder.path(), "waste-by-interval-wide.txt");
    for text in [
        "n = 2000 trials each",
        "n = 30 trials each",
        "95 % confidence intervals",
        "W = 5 h",
        "C = 10.5 s",
        "revenant plot RUN --columns two",
    ] {
        assert!(caption.contains(text), "{text} in {caption}");
    }
}

#[test]
fn a_png_has_its_size_in_pixels_and_on_paper() {
    let folder = World::default().write();
    plot_dir(folder.path(), &options(&BOTH, Column::One)).unwrap();
    let file = fs::File::open(folder.path().join("figures/waste-by-interval.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap();
    let info = reader.info();
    // 3.5 inches at 600 dpi; a metre has 39.37 inches.
    assert_eq!(info.width, 2100);
    let dims = info.pixel_dims.unwrap();
    assert_eq!((dims.xppu, dims.yppu), (23_622, 23_622));
    let text = svg(folder.path(), "waste-by-interval.svg");
    let height: f64 = text
        .split("height=\"")
        .nth(1)
        .unwrap()
        .split("pt")
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((f64::from(info.height) - height / 72.0 * 600.0).abs() <= 1.0);
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let colours = [[0x00, 0x72, 0xb2], [0xd5, 0x5e, 0x00], [0x00, 0x9e, 0x73]];
    for colour in colours {
        assert!(pixels.chunks_exact(3).any(|pixel| pixel == colour), "{colour:?}");
    }
}

#[test]
fn the_same_tables_give_the_same_bytes() {
    let read = |folder: &Path| -> Vec<(String, Vec<u8>)> {
        plot_dir(folder, &options(&BOTH, Column::One))
            .unwrap()
            .into_iter()
            .map(|path| {
                (
                    path.file_name().unwrap().to_str().unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                )
            })
            .collect()
    };
    let (first, second) = (World::default().write(), World::default().write());
    assert!(read(first.path()) == read(second.path()));
    assert_eq!(
        fs::read_dir(first.path().join("figures")).unwrap().count(),
        24,
        "no staged file stays"
    );
}

#[test]
fn what_is_there_is_drawn() {
    let all = World::default();
    let cases: [(&str, World, usize); 5] = [
        (
            "no theory",
            World {
                theory: false,
                ..all.clone()
            },
            8,
        ),
        (
            "no logs",
            World {
                logs: false,
                ..all.clone()
            },
            6,
        ),
        (
            "one trial, no interval of confidence",
            World {
                trials: 1,
                ..all.clone()
            },
            8,
        ),
        (
            "only never",
            World {
                intervals_s: vec![],
                policies: vec!["never"],
                ..all.clone()
            },
            1,
        ),
        (
            "no grid",
            World {
                intervals_s: vec![],
                ..all.clone()
            },
            6,
        ),
    ];
    for (what, world, figures) in cases {
        let folder = world.write();
        let written = plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap();
        assert_eq!(written.len(), 2 * figures, "{what}: {written:?}");
    }
}

#[test]
fn a_pdf_has_its_font_in_it_and_nothing_that_changes() {
    let draw = || {
        let folder = World::default().write();
        plot_dir(folder.path(), &options(&[Format::Pdf], Column::One)).unwrap();
        fs::read(folder.path().join("figures/waste-by-interval.pdf")).unwrap()
    };
    let pdf = draw();
    assert_eq!(pdf, draw());
    let text = String::from_utf8_lossy(&pdf);
    for wanted in [
        "%PDF-1.7",
        "/CIDFontType2",
        "/FontFile2",
        "/ToUnicode",
        "/MediaBox [0 0 252 ",
    ] {
        assert!(text.contains(wanted), "{wanted}");
    }
    for unwanted in ["/Type3", "/CreationDate", "/ModDate", "/ID"] {
        assert!(!text.contains(unwanted), "{unwanted}");
    }
}

#[test]
fn tikz_has_the_data_with_its_error_bars_and_no_sign_that_tex_would_take_for_its_own() {
    let folder = World {
        programs: vec!["a_b%", "c&d"],
        ..World::default()
    }
    .write();
    plot_dir(folder.path(), &options(&[Format::Tikz], Column::One)).unwrap();
    let tex = fs::read_to_string(folder.path().join("figures/waste-by-interval.tex")).unwrap();
    for wanted in [
        "\\begin{axis}",
        "xmode=log",
        "xlabel={Checkpoint interval $\\tau$}",
        "ylabel={Waste (\\%)}",
        "y error minus=minus",
        "a\\_b\\%",
        "c\\&d",
    ] {
        assert!(tex.contains(wanted), "{wanted}");
    }
    // Two programs by three MTBFs by two levels, six intervals each.
    let tables: Vec<&str> = tex.split("x y minus plus\\\\\n").skip(1).collect();
    assert_eq!(tables.len(), 12);
    for table in tables {
        assert_eq!(table.lines().take_while(|line| line.ends_with("\\\\")).count(), 6);
    }
    let (opened, closed) = (tex.matches('{').count(), tex.matches('}').count());
    assert_eq!(opened, closed);
}

#[test]
fn quantiles_of_a_fitted_log_need_no_summary() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "law,probability,theoretical_s,observed_s\n".to_owned();
    for law in ["weibull", "exponential"] {
        for rank in 1..=1000 {
            table += &format!("{law},{},{rank},{}\n", f64::from(rank) / 1001.0, 2 * rank);
        }
    }
    fs::write(folder.path().join("qq.csv"), &table).unwrap();
    let drawn = plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap();
    assert_eq!(drawn.len(), 2);
    let svg = svg(folder.path(), "qq.svg");
    assert!(svg.contains("(a) Weibull") && svg.contains("Quantile of the log"));
    assert!(
        groups(&svg, "points")[0].lines().count() < 200,
        "long logs are thinned"
    );
    fs::write(
        folder.path().join("qq.csv"),
        table.replacen("weibull,", "weibull,x", 1),
    )
    .unwrap();
    let error = plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap_err();
    assert!(
        error.to_string().contains("line 2, column `probability`"),
        "{error}"
    );
}

const TIMELINE: &str = r#"{"experiment": "t", "point": 0, "level": "model", "policy": "fixed", "trial": 3, "seed": 1,
    "makespan_s": 400.0,
    "spans": [{"start_s": 0.0, "end_s": 100.0, "phase": "work"}, {"start_s": 100.0, "end_s": 110.0, "phase": "checkpoint"},
        {"start_s": 110.0, "end_s": 200.0, "phase": "lost"}, {"start_s": 200.0, "end_s": 220.0, "phase": "downtime"},
        {"start_s": 220.0, "end_s": 400.0, "phase": "work"}],
    "events": [{"t_s": 200.0, "what": "failure", "kind": "host-loss"}]}"#;

/// The tables of a reference result, drawn in a folder of their own.
fn drawn_result(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let result = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../results")
        .join(name);
    for file in ["summary.csv", "paired.csv", "downtime.hlog"] {
        fs::copy(result.join(file), folder.path().join(file)).unwrap();
    }
    plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap();
    folder
}

#[test]
fn many_series_become_panels_and_policies_are_held_against_the_baseline() {
    let folder = drawn_result("lazy");
    let waste = svg(folder.path(), "waste-by-cost.svg");
    for text in [
        "(a) Weibull k = 0.6",
        "(c) Exponential",
        ">Young<",
        ">Lazy<",
        ">Means joined<",
    ] {
        assert!(waste.contains(text), "{text}");
    }
    let excess = svg(folder.path(), "excess-by-cost.svg");
    assert!(excess.contains(">Excess over Young (%)<") && !excess.contains(">Theory<"));
    assert!(!folder.path().join("figures/waste-by-cost-2.svg").exists());
}

#[test]
fn a_policy_has_one_series_whatever_others_are_told() {
    let folder = drawn_result("adaptive");
    let waste = svg(folder.path(), "waste-by-work.svg");
    assert_eq!(waste.matches(">Young").count(), 1);
    assert!(waste.contains(">Adaptive, prior = 1000<"));
    let excess = svg(folder.path(), "excess-by-policy-1-prior.svg");
    assert!(excess.contains(">Adaptive over Young (%)<") && excess.contains(">W = 100 h<"));
}

#[test]
fn settings_are_compared_by_how_long_the_guest_stands_still() {
    let folder = drawn_result("methods");
    let rows = svg(folder.path(), "suspension.svg");
    assert!(rows.contains("stencil, pre-copy, not incremental") && rows.contains(">Guest suspended<"));
    assert_eq!(groups(&rows, "Simulation").len(), 16);
    let equal = drawn_result("detection");
    assert!(!equal.path().join("figures/suspension.svg").exists());
}

#[test]
fn a_replayed_trial_is_drawn_beside_its_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let replay = folder.path().join("replay/point-0-model-trial-3");
    fs::create_dir_all(&replay).unwrap();
    fs::write(replay.join("timeline.json"), TIMELINE).unwrap();
    let drawn = plot_dir(folder.path(), &options(&BOTH, Column::One)).unwrap();
    assert_eq!(drawn.len(), 3);
    let svg = fs::read_to_string(replay.join("timeline.svg")).unwrap();
    for wanted in [">Work lost<", ">Checkpoint<", ">Downtime<", ">Failure<"] {
        assert!(svg.contains(wanted), "{wanted}");
    }
    assert!(!svg.contains(">Restore<"), "only what occurs");
    for (from, to, said) in [
        ("\"makespan_s\": 400.0", "\"makespan_s\": -1", "makespan_s"),
        ("\"end_s\": 200.0", "\"end_s\": 1e9", "spans[2]"),
        ("\"t_s\": 200.0", "\"t_s\": -5", "events[0]"),
        ("\"spans\"", "\"spas\"", "cannot understand"),
    ] {
        fs::write(replay.join("timeline.json"), TIMELINE.replacen(from, to, 1)).unwrap();
        let error = plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// Two jobs of a cluster, of which one waits and one is struck.
const JOBS: &str = r#"{
  "experiment": "e", "point": 0, "level": "cluster", "policy": "young", "trial": 3, "seed": 7, "makespan_s": 900.0,
  "spans": [], "events": [],
  "jobs": [
    { "job": 5, "submit_s": 100.0, "slots": 1,
      "spans": [{ "start_s": 100.0, "end_s": 300.0, "phase": "work" }, { "start_s": 300.0, "end_s": 320.0, "phase": "lost" },
                { "start_s": 320.0, "end_s": 400.0, "phase": "downtime" }],
      "events": [{ "t_s": 320.0, "what": "failure", "kind": "host-crash" }] },
    { "job": 6, "submit_s": 150.0, "slots": 2, "spans": [{ "start_s": 150.0, "end_s": 500.0, "phase": "waiting" }], "events": [] }
  ]
}"#;

#[test]
fn jobs_of_a_replayed_cluster_have_a_row_each() {
    let folder = tempfile::tempdir().unwrap();
    let replay = folder.path().join("replay/point-0-cluster-trial-3");
    fs::create_dir_all(&replay).unwrap();
    fs::write(replay.join("timeline.json"), JOBS).unwrap();
    plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap();
    let svg = fs::read_to_string(replay.join("timeline.svg")).unwrap();
    for wanted in [
        ">Job 5<",
        ">Job 6<",
        ">Waiting for hosts<",
        ">Work lost<",
        ">Failure<",
    ] {
        assert!(svg.contains(wanted), "{wanted}");
    }
    assert!(!svg.contains(">Checkpoint<"), "only what occurs");
    let caption = fs::read_to_string(replay.join("timeline.txt")).unwrap();
    assert!(caption.contains("jobs 5 to 6 of trial 3"), "{caption}");
    let late = JOBS.replacen("\"end_s\": 500.0", "\"end_s\": 1e9", 1);
    fs::write(replay.join("timeline.json"), late).unwrap();
    let error = plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap_err();
    assert!(error.to_string().contains("job 6: spans[0]"), "{error}");
}

#[test]
fn makespans_are_drawn_where_the_trials_are_there() {
    let folder = World::default().write();
    let mut trials = "point,level,makespan_s\n".to_owned();
    for (point, trial) in (0..27).flat_map(|point| (0..40).map(move |trial| (point, trial))) {
        let makespan = if trial == 7 {
            String::new()
        } else {
            format!("{}", 18_000 + 31 * trial)
        };
        trials += &format!("{point},model,{makespan}\n");
    }
    fs::write(folder.path().join("trials.csv"), &trials).unwrap();
    plot_dir(folder.path(), &options(&[Format::Svg], Column::One)).unwrap();
    let figure = svg(folder.path(), "makespan-cdf.svg");
    assert!(figure.contains("Makespan (h)") && figure.contains("Fixed, best τ"));
    let caption = svg(folder.path(), "makespan-cdf.txt");
    assert!(caption.contains("Fixed, best τ 40 (model)"), "{caption}");
}

/// Whatever a run writes is drawn: without checkpoints on a machine that fails all the time no trial ends, and closed forms grow
/// beyond all bounds.
#[test]
fn runs_that_hardly_end_are_drawn() {
    let spec = |failures: &str, policies: &str| {
        let text = format!(
            "name = \"n\"\nseed = 1\ntrials = 3\nlevels = [\"model\"]\n[job]\nwork = \"100h\"\n[failures]\nlaw = \"exponential\"\n\
             mtbf = {failures}\n[checkpoint]\ncost = \"1min\"\nrestart = \"1min\"\n[limits]\nfailures = 200\n{policies}"
        );
        Spec::parse(&text, Path::new("n.toml")).unwrap()
    };
    let never = "[[policy]]\nkind = \"young\"\n[[policy]]\nkind = \"never\"\n";
    let fixed = "[[policy]]\nkind = \"fixed\"\ninterval = [\"10min\", \"8h\", \"50h\"]\n";
    for (failures, policies) in [
        ("[\"1h\", \"10h\", \"100h\"]", never),
        ("\"10min\"", fixed),
        ("[\"1min\", \"100h\"]", fixed),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let run_options = RunOptions {
            out: folder.path().to_owned(),
            jobs: 1,
            seed: None,
            trials: None,
            shard: None,
            resume: false,
            overwrite: false,
            command: vec![],
        };
        let no = AtomicBool::new(false);
        run(
            &spec(failures, policies),
            &run_options,
            &SystemClock::new(),
            &mut |_| {},
            &no,
        )
        .unwrap();
        let drawn = plot_dir(folder.path(), &options(&BOTH, Column::One)).unwrap();
        assert!(drawn.len() > 2, "{drawn:?}");
        super::report_dir(folder.path()).unwrap();
    }
}
