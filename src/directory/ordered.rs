//! How numbers and instants are compared.
//!
//! What is compared is what the column holds, at the column's own resolution, with what the literal says, exactly: a column
//! of whole seconds that holds 12:00:00 is below 12:00:00.5, and equal to nothing that is not a whole second. A literal
//! that falls between two values that the column can hold is asked as "below the next one", so that rounding never
//! turns `gt` into `ge`; one beyond all of them is above or below everything.

use super::asked::{Asked, not_text, null_is_not_ordered};
use super::filter::Compiler;
use crate::adapter::{Column, Conversion, in_calendar, read_instant, without_leap_second};
use crate::scim::{AttributePath, Error, Literal, Operator};
use crate::sql::{ColumnKind, Comparison, Dialect, Expr, Predicate, Value};
use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::Value as Json;

/// Where a literal stands among the values of a column.
enum Point {
    /// It is one of them.
    At(Value),
    /// Just below this one, above everything smaller.
    Below(Value),
    /// Below all.
    Least,
    /// Above all.
    Most,
}

impl Compiler<'_> {
    /// A comparison with a number, an instant or a day.
    pub(super) fn ordered(
        &mut self,
        expr: Expr,
        column: &Column,
        conversion: &Conversion,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        if let Some(opposite) = asked.opposite() {
            return Ok(self.ordered(expr, column, conversion, opposite, path)?.negate());
        }
        let mut present = Predicate::IsNull(expr.clone()).negate();
        let zero = after_zero(self.dialect, &expr, column);
        if let Some(after_zero) = &zero {
            present = present.and(after_zero.clone());
        }
        if let Some(answer) = asked.of_presence(present.clone()) {
            return Ok(answer);
        }
        let Asked::Compare(operator, literal) = asked else {
            return Ok(present);
        };
        let comparison = match operator {
            _ if *literal == Literal::Null => return Err(null_is_not_ordered(path)),
            Operator::Co | Operator::Sw | Operator::Ew => return Err(not_text(path)),
            Operator::Eq | Operator::Ne => Comparison::Eq,
            Operator::Gt => Comparison::Gt,
            Operator::Ge => Comparison::Ge,
            Operator::Lt => Comparison::Lt,
            Operator::Le => Comparison::Le,
        };
        let number = matches!(conversion, Conversion::Integer | Conversion::Decimal);
        if number && matches!(column.kind, ColumnKind::Text(_) | ColumnKind::Enum(_) | ColumnKind::Json) {
            return Err(Error::invalid_filter(format!(
                "{path} can be asked for with pr alone: its column holds numbers as text"
            )));
        }
        let days = matches!(conversion, Conversion::Date) && !matches!(column.kind, ColumnKind::Date);
        if let (true, Ok(Value::Date(day))) = (days, day_of(literal)) {
            return Ok(self.on_day(&expr, column, comparison, day));
        }
        let point = self
            .point(conversion, column, literal)
            .map_err(|refusal| Error::invalid_filter(format!("{path}: the value {refusal}")))?;
        let cast = match point {
            // A double is compared as one: a cast to `real` would round, or fail.
            Point::At(Value::Float(_)) => None,
            _ => column.cast.clone(),
        };
        let compared =
            |comparison, value| Predicate::Compare(expr.clone(), comparison, Expr::Value(value, cast.clone()));
        let upwards = matches!(comparison, Comparison::Gt | Comparison::Ge);
        let compared = match (point, comparison) {
            (Point::At(value), comparison) => compared(comparison, value),
            (_, Comparison::Eq) => Predicate::False,
            (Point::Below(value), _) => compared(if upwards { Comparison::Ge } else { Comparison::Lt }, value),
            (Point::Least, _) if upwards => present,
            (Point::Most, _) if !upwards => present,
            _ => Predicate::False,
        };
        Ok(match zero {
            Some(after_zero) if !upwards && compared != Predicate::False => compared.and(after_zero),
            _ => compared,
        })
    }

    /// A day in a column of times: from its midnight to the next.
    fn on_day(&self, expr: &Expr, column: &Column, comparison: Comparison, day: NaiveDate) -> Predicate {
        let bound = |comparison, day: NaiveDate| {
            let value = match column.kind {
                ColumnKind::DateTime => Value::DateTime(day.and_time(NaiveTime::MIN)),
                ColumnKind::Instant => Value::Instant(day.and_time(NaiveTime::MIN).and_utc()),
                _ => Value::Text(day.format("%Y-%m-%d").to_string()),
            };
            Predicate::Compare(expr.clone(), comparison, Expr::Value(value, column.cast.clone()))
        };
        let next = day.succ_opt().unwrap_or(NaiveDate::MAX);
        match comparison {
            Comparison::Eq | Comparison::Ne => bound(Comparison::Ge, day).and(bound(Comparison::Lt, next)),
            Comparison::Gt => bound(Comparison::Ge, next),
            Comparison::Ge => bound(Comparison::Ge, day),
            Comparison::Lt => bound(Comparison::Lt, day),
            Comparison::Le => bound(Comparison::Lt, next),
        }
    }

    fn point(&self, conversion: &Conversion, column: &Column, literal: &Literal) -> Result<Point, String> {
        match conversion {
            Conversion::Integer => whole(number_text(literal)?, column),
            Conversion::Decimal => match column.kind {
                ColumnKind::Integer { .. } => whole(number_text(literal)?, column),
                _ => {
                    let text = number_text(literal)?;
                    let number: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
                    Ok(Point::At(match column.kind {
                        ColumnKind::Float => Value::Float(number),
                        _ => Value::Text(text),
                    }))
                }
            },
            Conversion::Unix(scale) => {
                let at = instant(literal)?;
                let scaled = i128::from(at.timestamp_subsec_nanos()) * i128::from(*scale);
                let (part, rest) = (scaled / 1_000_000_000, scaled % 1_000_000_000);
                let floor = i128::from(at.timestamp()) * i128::from(*scale) + part;
                Ok(bounded(floor, rest == 0, column))
            }
            Conversion::Date => day_of(literal).map(Point::At),
            _ => instant(literal).map(|at| stored(at, column, self.adapter.time_zone)),
        }
    }
}

/// Where a column of days or times holds none of MySQL's zero dates, which stand for nothing.
pub(super) fn after_zero(dialect: Dialect, expr: &Expr, column: &Column) -> Option<Predicate> {
    let dated = matches!(column.kind, ColumnKind::DateTime | ColumnKind::Date | ColumnKind::Instant);
    (dialect == Dialect::Mysql && dated).then(|| {
        let first = NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default();
        let first = Value::DateTime(first.and_time(NaiveTime::MIN));
        Predicate::Compare(expr.clone(), Comparison::Ge, Expr::Value(first, None))
    })
}

/// A number as JSON writes it.
fn number_text(literal: &Literal) -> Result<String, String> {
    let text = match literal {
        Literal::Number(number) => number.to_string(),
        Literal::String(text) => text.trim().to_owned(),
        _ => return Err("is not a number".to_owned()),
    };
    match text.parse::<serde_json::Number>() {
        Ok(_) if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text),
        _ => Err("is not a number".to_owned()),
    }
}

/// A number among whole numbers.
fn whole(text: String, column: &Column) -> Result<Point, String> {
    if let Ok(number) = text.parse::<i128>() {
        return Ok(bounded(number, true, column));
    }
    let number: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    let floor = number.floor();
    Ok(match format!("{floor:.0}").parse() {
        Ok(whole) => bounded(whole, floor == number, column),
        Err(_) if number < 0.0 => Point::Least,
        Err(_) => Point::Most,
    })
}

/// The whole number `floor`, or where not `exact` what is between it and the next.
fn bounded(floor: i128, exact: bool, column: &Column) -> Point {
    let (min, max) = match column.kind {
        ColumnKind::Integer { min, max } => (min, max),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    if floor < min {
        return Point::Least;
    }
    let place = if exact { floor } else { floor + 1 };
    if place > max {
        return Point::Most;
    }
    let value = match i64::try_from(place) {
        Ok(number) => Value::Int(number),
        Err(_) => match u64::try_from(place) {
            Ok(number) => Value::UInt(number),
            Err(_) => return Point::Most,
        },
    };
    if exact { Point::At(value) } else { Point::Below(value) }
}

/// An instant as clients write it, without a leap second; one without an offset is UTC.
fn instant(literal: &Literal) -> Result<DateTime<Utc>, String> {
    let refused = || "is not a date and time like 2026-11-21T19:00:00Z".to_owned();
    let Literal::String(text) = literal else {
        return Err(refused());
    };
    read_instant(&Value::Text(text.clone()), Tz::UTC).map(without_leap_second).ok_or_else(refused)
}

fn day_of(literal: &Literal) -> Result<Value, String> {
    let column = Column { name: "day".into(), kind: ColumnKind::Date, cast: None, nullable: true, ignores_case: false };
    let Literal::String(text) = literal else {
        return Err("is not a date like 2026-11-21".to_owned());
    };
    Conversion::Date.write(&Json::from(text.as_str()), &column, Tz::UTC).map_err(|refusal| refusal.to_string())
}

/// An instant among those that a column can hold, in microseconds at best.
fn stored(at: DateTime<Utc>, column: &Column, zone: Tz) -> Point {
    // What comes after the last second is stored as that.
    let at = at.min(in_calendar(at, zone));
    let nanos = at.timestamp_subsec_nanos() % 1000;
    let rounded = at - Duration::nanoseconds(i64::from(nanos));
    let (at, exact) = match nanos {
        0 => (at, true),
        _ => (rounded + Duration::microseconds(1), false),
    };
    if column.kind == ColumnKind::Instant {
        let value = Value::Instant(at);
        return if exact { Point::At(value) } else { Point::Below(value) };
    }
    let wall = at.with_timezone(&zone).naive_local();
    let read = read_instant(&Value::DateTime(wall), zone);
    // The second time that a clock shows an hour cannot be stored: all of that hour reads as the first.
    let (wall, exact) = match read {
        Some(first) if first < at => (end_of_repeated(first, at, zone).unwrap_or(wall), false),
        _ => (wall, exact),
    };
    match wall.year() {
        ..=0 => return Point::Least,
        10_000.. => return Point::Most,
        _ => {}
    }
    let (value, exact) = match column.kind {
        ColumnKind::Date if wall.time() == NaiveTime::MIN => (Value::Date(wall.date()), exact),
        ColumnKind::Date => (Value::Date(wall.date().succ_opt().unwrap_or(NaiveDate::MAX)), false),
        ColumnKind::Text(_) | ColumnKind::Other => {
            (Value::Text(wall.format("%Y-%m-%d %H:%M:%S%.f").to_string()), exact)
        }
        _ => (Value::DateTime(wall), exact),
    };
    if exact { Point::At(value) } else { Point::Below(value) }
}

/// The wall clock at the end of the hour that is shown twice, `first` and `second` being the two instants of one time in it.
fn end_of_repeated(first: DateTime<Utc>, second: DateTime<Utc>, zone: Tz) -> Option<NaiveDateTime> {
    let offset = |seconds: i64| {
        let at = DateTime::from_timestamp(seconds, 0)?;
        Some(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
    };
    let (mut before, mut after) = (first.timestamp(), second.timestamp());
    let (summer, winter) = (offset(before)?, offset(after)?);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if offset(middle)? == winter {
            after = middle;
        } else {
            before = middle;
        }
    }
    Some(DateTime::from_timestamp(after + i64::from(summer), 0)?.naive_utc())
}
