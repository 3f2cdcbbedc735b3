//! Plots: bars, drawn on the server, with their numbers as a table for whoever does not see them.

use super::moment::Moment;

/// Stacked bars. What each colour means is also told by the table behind it.
#[derive(Debug)]
pub(super) struct Plot {
    pub title: &'static str,
    /// What is to be seen, in a sentence.
    pub summary: String,
    pub series: Vec<Series>,
    pub bars: Vec<Bar>,
    /// What stands under the first bar and the last, where the labels of all would not fit.
    pub ends: Option<(Moment, Moment)>,
}

/// What a colour stands for.
#[derive(Debug)]
pub(super) struct Series {
    pub name: &'static str,
    /// `good`, `warn`, `bad` or `plain`.
    pub colour: &'static str,
}

#[derive(Debug)]
pub(super) struct Bar {
    pub label: String,
    pub counts: Vec<u64>,
    pub parts: Vec<Part>,
    pub middle: u64,
}

/// A part of a bar, in the units of the picture.
#[derive(Debug)]
pub(super) struct Part {
    pub x: u64,
    pub y: u64,
    pub width: u64,
    pub height: u64,
    pub colour: &'static str,
}

/// A colour and what it stands for.
pub(super) type Meaning = (&'static str, &'static str);

impl Plot {
    /// Draws counts, one for each meaning in each bar. `None` when there is nothing to be seen.
    pub(super) fn of(
        title: &'static str,
        summary: String,
        meanings: &[Meaning],
        bars: Vec<(String, Vec<u64>)>,
    ) -> Option<Self> {
        let total = |counts: &[u64]| counts.iter().sum::<u64>();
        let most = bars
            .iter()
            .map(|(_, counts)| total(counts))
            .max()
            .filter(|most| *most > 0)?;
        let step = WIDTH / (bars.len() as u64);
        let draw = |(at, (label, counts)): (usize, (String, Vec<u64>))| {
            let x = step * at as u64;
            let mut top = HEIGHT;
            let mut parts = Vec::new();
            for (count, (colour, _)) in counts.iter().zip(meanings).filter(|(count, _)| **count > 0) {
                // Something that is there is seen, however little it is.
                let height = (count * HEIGHT / most).max(LEAST).min(top);
                top -= height;
                parts.push(Part {
                    x: x + step / 8,
                    y: top,
                    width: step - step / 4,
                    height,
                    colour,
                });
            }
            Bar {
                middle: x + step / 2,
                label,
                counts,
                parts,
            }
        };
        Some(Self {
            title,
            summary,
            series: meanings.iter().map(|(colour, name)| Series { name, colour }).collect(),
            bars: bars.into_iter().enumerate().map(draw).collect(),
            ends: None,
        })
    }
}

/// Size of the picture; it is scaled to the page.
pub(super) const WIDTH: u64 = 720;
pub(super) const HEIGHT: u64 = 120;

/// Height of the least that is shown.
const LEAST: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_counts_and_never_higher_than_the_picture() {
        let bars = vec![
            ("a".to_owned(), vec![100, 0]),
            ("b".to_owned(), vec![50, 25]),
            ("c".to_owned(), vec![0, 1]),
            ("d".to_owned(), vec![0, 0]),
        ];
        let plot = Plot::of("t", String::new(), &[("good", "x"), ("bad", "y")], bars).expect("something");
        let heights = |bar: &Bar| bar.parts.iter().map(|part| part.height).collect::<Vec<_>>();
        let all: Vec<_> = plot.bars.iter().map(heights).collect();
        assert_eq!(all, [vec![120], vec![60, 30], vec![2], vec![]]);
        assert!(Plot::of("t", String::new(), &[("good", "x")], vec![("a".to_owned(), vec![0])]).is_none());
    }
}
