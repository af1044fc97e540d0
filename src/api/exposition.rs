//! The text format of Prometheus.

use std::fmt::{Display, Write};

/// Metrics as text.
#[derive(Default)]
pub(super) struct Exposition(String);

/// One metric: its samples follow its head.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    /// A number that only rises.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// A number that rises and falls.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let text = &mut self.0;
        write_all(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text, name }
    }
}

impl Family<'_> {
    /// One value, told from others of the family by its labels.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(self.name);
        for (at, (label, of)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            write_all(self.text, format_args!("{label}=\"{}\"", escaped(of)));
        }
        self.text.push_str(if labels.is_empty() { "" } else { "}" });
        write_all(self.text, format_args!(" {value}\n"));
        self
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn write_all(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_their_head_and_labels_are_escaped() {
        let mut exposition = Exposition::default();
        exposition.counter("a_total", "How many.").sample(&[("x", "1"), ("y", "a\\b\"c\nd")], 5_u64);
        exposition.gauge("b", "Now.").sample(&[], 7_usize);
        assert_eq!(
            exposition.into_text(),
            "# HELP a_total How many.\n# TYPE a_total counter\na_total{x=\"1\",y=\"a\\\\b\\\"c\\nd\"} 5\n\
             # HELP b Now.\n# TYPE b gauge\nb 7\n"
        );
    }
}
