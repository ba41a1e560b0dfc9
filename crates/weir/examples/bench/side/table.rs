//! The table that a run prints, in Markdown: for Weir what was measured, for the others that and Weir's share of it.

/// What a round found, by [`COLUMNS`].
pub(crate) type Sample = [f64; 6];

const COLUMNS: [&str; 6] = [
    "CPU, us/request",
    "requests/s",
    "p50, ms",
    "p99, ms",
    "p99.9, ms",
    "peak RSS, MiB",
];

/// The two lines above all cases.
pub(crate) fn print_head() {
    println!("| case | proxy | {} |", COLUMNS.join(" | "));
    println!("|---|---|{}", "---|".repeat(COLUMNS.len()));
}

/// The rows of a case: names of proxies, Weir the first, and what each of their rounds found.
pub(crate) fn print(case: &str, rows: &[(String, Vec<Sample>)]) {
    let Some((_, weir)) = rows.first() else {
        return;
    };
    for (name, samples) in rows {
        let cells: Vec<_> = (0..COLUMNS.len())
            .map(|column| {
                let values = samples.iter().map(|sample| sample[column]).collect();
                let (middle, least, most) = spread(values);
                if std::ptr::eq(samples, weir) {
                    let [middle, least, most] = [middle, least, most].map(number);
                    return format!("{middle} ({least}..{most})");
                }
                let ratios = weir
                    .iter()
                    .zip(samples)
                    .map(|(ours, theirs)| ours[column] / theirs[column])
                    .collect();
                let (ratio, low, high) = spread(ratios);
                format!("{}; **{ratio:.2}** ({low:.2}..{high:.2})", number(middle))
            })
            .collect();
        println!("| {case} | {name} | {} |", cells.join(" | "));
    }
}

/// The value in the middle, the least and the most.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (
        values[values.len() / 2],
        values[0],
        values[values.len() - 1],
    )
}

/// With about three digits that say something.
fn number(value: f64) -> String {
    let places = match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.places$}")
}
