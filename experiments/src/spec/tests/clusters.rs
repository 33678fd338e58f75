//! Clusters.

use super::*;

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
