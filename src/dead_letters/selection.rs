//! Which letters of a connector are meant: a condition that every query shares.

use jiff::Timestamp;
use rusqlite::types::Value;

/// Letters of a connector that all of this is true of; without anything, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// One of these letters.
    pub(crate) ids: Option<Vec<i64>>,
    /// Error code.
    pub(crate) code: Option<String>,
    /// Name of the stage that gave up.
    pub(crate) stage: Option<String>,
    /// Type name of the template concerned.
    pub(crate) template: Option<String>,
    /// Given up at this time or later.
    pub(crate) since: Option<Timestamp>,
}

/// A condition on the table of letters, called `l`, and the values of its question marks.
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Selection {
    /// These letters.
    pub(crate) fn of(ids: Vec<i64>) -> Self {
        Self { ids: Some(ids), ..Self::default() }
    }

    /// The selection among the letters of `connector`.
    pub(super) fn condition(&self, connector: &str) -> Condition {
        let mut condition =
            Condition { sql: "l.connector = ?".to_owned(), values: vec![Value::Text(connector.to_owned())] };
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        condition.also("l.id IN (SELECT value FROM json_each(?))", self.ids.as_deref().map(numbers));
        condition.also("l.code = ?", text(&self.code));
        condition.also("l.stage = ?", text(&self.stage));
        condition.also("l.template = ?", text(&self.template));
        condition.also("l.at >= ?", self.since.map(|since| Value::Integer(since.as_microsecond())));
        condition
    }
}

impl Condition {
    fn also(&mut self, sql: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.sql = format!("{} AND {sql}", self.sql);
            self.values.push(value);
        }
    }

    /// The values, and then these.
    pub(super) fn values_and(self, more: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut values = self.values;
        values.extend(more);
        values
    }
}

/// Numbers as `json_each` takes them.
pub(super) fn numbers(numbers: &[i64]) -> Value {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Value::Text(format!("[{}]", texts.join(",")))
}
