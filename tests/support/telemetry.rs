//! Recorders of metrics and log lines.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// The kind, the name and the labels of a series.
pub type Series = (&'static str, String, Vec<(String, String)>);

/// The unit and the help of each described metric, by its name.
pub type Descriptions = BTreeMap<String, (Option<Unit>, String)>;

#[derive(Clone, Default)]
pub struct Recorded(Arc<Mutex<BTreeMap<Series, Arc<Number>>>>, Arc<Mutex<Descriptions>>);

#[derive(Default)]
struct Number(Mutex<f64>);

impl Recorded {
    /// Returns every series with its value. The value of a histogram is its number of samples.
    pub fn series(&self) -> BTreeMap<Series, f64> {
        let series = self.0.lock().unwrap();
        series.iter().map(|(series, number)| (series.clone(), *number.0.lock().unwrap())).collect()
    }

    pub fn descriptions(&self) -> Descriptions {
        self.1.lock().unwrap().clone()
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
        self.1.lock().unwrap().insert(name.as_str().to_owned(), (unit, help.to_string()));
    }

    fn number(&self, kind: &'static str, key: &Key) -> Arc<Number> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        Arc::clone(self.0.lock().unwrap().entry((kind, key.name().to_owned(), labels)).or_default())
    }
}

impl CounterFn for Number {
    fn increment(&self, value: u64) {
        *self.0.lock().unwrap() += f64::from(u32::try_from(value).unwrap());
    }

    fn absolute(&self, value: u64) {
        let mut number = self.0.lock().unwrap();
        *number = number.max(f64::from(u32::try_from(value).unwrap()));
    }
}

impl GaugeFn for Number {
    fn increment(&self, value: f64) {
        *self.0.lock().unwrap() += value;
    }

    fn decrement(&self, value: f64) {
        *self.0.lock().unwrap() -= value;
    }

    fn set(&self, value: f64) {
        *self.0.lock().unwrap() = value;
    }
}

impl HistogramFn for Number {
    fn record(&self, value: f64) {
        assert!(value >= 0.0);
        *self.0.lock().unwrap() += 1.0;
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, unit, &help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, unit, &help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, unit, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number("counter", key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number("gauge", key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.number("histogram", key))
    }
}

/// The bytes that a log wrote.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Removes and returns what was written so far.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }

    /// Removes and returns what was written so far, which has a JSON object on each line.
    pub fn take_json(&self) -> Vec<Value> {
        self.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
