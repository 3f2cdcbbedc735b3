//! What `/metrics` tells.

/// A line of the metrics: name, labels and value.
pub(crate) type Sample = (String, Vec<(String, String)>, f64);

/// Reads the text of `/metrics`.
pub(crate) fn samples(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels
        .trim_end_matches('}')
        .split(',')
        .filter(|label| !label.is_empty());
    let label = |label: &str| {
        let (name, value) = label.split_once('=').expect("a value");
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    (
        name.to_owned(),
        labels.map(label).collect(),
        value.parse().expect("a number"),
    )
}

/// Returns the value of a series; 0 when it is not there.
pub(crate) fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Vec<(String, String)> = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let found = samples
        .iter()
        .find(|(own, own_labels, _)| own == name && *own_labels == labels);
    found.map_or(0.0, |(_, _, value)| *value)
}
