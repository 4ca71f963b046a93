//! `GET /servers/{id}/metrics`. Rule: the numbers are made up and steady: a machine that hardly
//! does anything, and does nothing while it is off.

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Iso8601};

use super::{
    reply::Reply,
    route::Call,
    servers::find,
    world::{ServerStatus, World},
};

/// Samples that an answer has at most.
const SAMPLES_MAX: i64 = 500;
/// Samples that an answer has when the step is not told.
const SAMPLES: i64 = 200;

/// The time series of a kind of metrics, each with its value while the server runs.
fn series(kind: &str) -> Option<&'static [(&'static str, f64)]> {
    Some(match kind {
        "cpu" => &[("cpu", 2.5)],
        "disk" => &[
            ("disk.0.iops.read", 0.25),
            ("disk.0.iops.write", 1.5),
            ("disk.0.bandwidth.read", 1_024.0),
            ("disk.0.bandwidth.write", 8_192.0),
        ],
        "network" => &[
            ("network.0.pps.in", 3.0),
            ("network.0.pps.out", 2.0),
            ("network.0.bandwidth.in", 640.0),
            ("network.0.bandwidth.out", 320.0),
        ],
        _ => return None,
    })
}

fn moment(call: &Call, name: &str) -> Result<OffsetDateTime, Reply> {
    let text = call.query.one(name).ok_or_else(|| Reply::invalid(name, "is required"))?;
    // A plus that was not escaped has become a blank.
    let text = text.replace(' ', "+");
    OffsetDateTime::parse(&text, &Iso8601::DEFAULT).map_err(|_| Reply::invalid(name, "must be a time after ISO 8601"))
}

fn written(moment: OffsetDateTime) -> String {
    let moment = moment.replace_nanosecond(0).unwrap_or(moment);
    moment.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

pub(super) fn get(world: &World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let server = find(world, id)?;
    let kinds: Vec<&str> = call.query.all("type").into_iter().flat_map(|kinds| kinds.split(',')).collect();
    if kinds.is_empty() {
        return Err(Reply::invalid("type", "is required"));
    }
    let (start, end) = (moment(call, "start")?, moment(call, "end")?);
    let seconds = (end - start).whole_seconds();
    if seconds < 0 {
        return Err(Reply::invalid("end", "must not be before start"));
    }
    let step = match call.query.one("step") {
        None => (seconds / SAMPLES).max(1),
        Some(step) => {
            let step: f64 = step.parse().map_err(|_| Reply::invalid("step", "must be a number of seconds"))?;
            if !step.is_finite() || step < 1.0 {
                return Err(Reply::invalid("step", "must be at least one second"));
            }
            (step as i64).max(seconds / SAMPLES_MAX + 1)
        }
    };
    let off = server.status == ServerStatus::Off;
    let mut all = Map::new();
    for kind in kinds {
        let series = series(kind).ok_or_else(|| Reply::invalid("type", "must be cpu, disk or network"))?;
        for (name, value) in series {
            let value = if off { 0.0 } else { *value };
            let samples = (0..=seconds / step).map(|n| json!([start.unix_timestamp() + n * step, value.to_string()]));
            all.insert((*name).to_owned(), json!({"values": samples.collect::<Vec<Value>>()}));
        }
    }
    Ok(Reply::ok(json!({"metrics": {
        "start": written(start),
        "end": written(end),
        "step": step as f64,
        "time_series": all,
    }})))
}
