//! What the fold is held against: a look at every second, with all readings.

use super::*;

type Heard = (i64, i64, i64);

/// The same by going through every second for each rule and series on its own, with all readings.
pub(super) fn model(steps: &[Step]) -> Vec<(i64, String, String, Change)> {
    let mut at = 0;
    let mut heard: BTreeMap<(u8, u8), Vec<Heard>> = BTreeMap::new();
    let mut online: BTreeMap<u8, Vec<(i64, bool)>> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Record(after, readings, keep) => {
                at += after;
                for &(device, metric, skew, value) in readings {
                    let of = heard.entry((device, metric)).or_default();
                    if *keep != 0 && of.last().is_none_or(|(_, time, _)| at + skew > *time) {
                        of.push((at, at + skew, value));
                    }
                }
            }
            Step::Presence(after, device, is) => {
                at += after;
                online.entry(*device).or_default().push((at, *is));
            }
        }
    }
    let mut all = Vec::new();
    for rule in rules() {
        let hold = rule.hold / S;
        for (&(device, metric), readings) in &heard {
            let (name, metric_name) = (format!("d{device}"), METRICS[metric as usize]);
            if !rule.is_of_series() || !rule.takes_device(&name) || !rule.takes_metric(metric_name)
            {
                continue;
            }
            // What it says after each reading; nothing = as before.
            let mut says: Vec<(i64, bool)> = Vec::new();
            for (nth, &(came, time, value)) in readings.iter().enumerate() {
                let number = value as f64;
                let is_number = metric < 2;
                let judged = match &rule.kind {
                    Kind::Threshold(limits) if is_number => {
                        let past = limits.is_past(number);
                        (past || limits.is_back(number)).then_some(past)
                    }
                    Kind::Change { limits, per, over } if is_number => {
                        let before = readings[..nth].iter().rev();
                        let reference = before.clone().find(|(_, t, _)| *t <= time - over / S);
                        reference.and_then(|(_, t, was)| {
                            let rate =
                                (number - *was as f64) / (time - t) as f64 * (per / S) as f64;
                            // As far as floats tell.
                            let rate = (rate * 1e9).round() / 1e9;
                            let past = limits.is_past(rate);
                            (past || limits.is_back(rate)).then_some(past)
                        })
                    }
                    Kind::Flatline { over, tolerance } if is_number => {
                        // The reading from which on all stayed near it.
                        let mut from = readings[0];
                        for reading in &readings[..=nth] {
                            if (reading.2 - from.2).abs() as f64 > *tolerance {
                                from = *reading;
                            }
                        }
                        let moved = from == readings[nth];
                        let long = time - from.1 >= over / S;
                        (moved || long).then_some(!moved)
                    }
                    Kind::Text(_) => Some(match metric {
                        2 => value == 3,
                        3 => value % 2 == 0,
                        _ => false,
                    }),
                    Kind::Absence { .. } => Some(false),
                    _ => None,
                };
                if let Some(judged) = judged {
                    says.push((came, judged));
                }
            }
            let after = match rule.kind {
                Kind::Absence { after } => Some(after / S),
                _ => None,
            };
            let of = format!("s {metric_name} {name} site north");
            seconds(&mut all, &rule, &of, &says, hold, after, at + 100);
        }
        for (device, says) in &online {
            if rule.kind == Kind::Offline {
                let says: Vec<_> = says.iter().map(|(at, is)| (*at, !is)).collect();
                seconds(&mut all, &rule, &format!("d d{device}"), &says, hold, None, at + 100);
            }
        }
    }
    all.sort();
    all
}

/// Goes through the seconds.
fn seconds(
    all: &mut Vec<(i64, String, String, Change)>,
    rule: &Rule,
    of: &str,
    says: &[(i64, bool)],
    hold: i64,
    after: Option<i64>,
    end: i64,
) {
    let mut tell = |at: i64, what| all.push((at, rule.name.to_string(), of.to_owned(), what));
    // Since when it holds, and whether that was told as fired; when something was heard.
    let (mut holds, mut heard): (Option<(i64, bool)>, Option<i64>) = (None, None);
    let mut next = says.iter().peekable();
    for now in 0..end {
        while let Some((_, judged)) = next.next_if(|(at, _)| *at == now) {
            heard = Some(now);
            match (holds, *judged) {
                (None, true) if hold == 0 => {
                    tell(now, Change::Fired);
                    holds = Some((now, true));
                }
                (None, true) => {
                    tell(now, Change::Pending);
                    holds = Some((now, false));
                }
                (Some((_, fired)), false) => {
                    tell(now, Change::Over { fired });
                    holds = None;
                }
                _ => {}
            }
        }
        let silent = after.zip(heard).is_some_and(|(after, heard)| now == heard + after);
        if silent && holds.is_none() {
            if hold > 0 {
                tell(now, Change::Pending);
            }
            holds = Some((now, false));
        }
        if let Some((since, false)) = holds
            && now == since + hold
        {
            tell(now, Change::Fired);
            holds = Some((since, true));
        }
    }
}
