//! What is written for a client's value, and what is read back.

use super::*;
use crate::adapter::{Entities, Variable};
use crate::sql::Ident;
use serde_json::json;

fn column(kind: ColumnKind) -> Column {
    Column { name: Ident::new("c"), kind, cast: None, nullable: true, ignores_case: false }
}

fn text_rule() -> TextRule {
    TextRule { trim: true, empty: Some(Value::Null), ..TextRule::default() }
}

const INT: ColumnKind = ColumnKind::Integer { min: 0, max: 255 };
const TZ: Tz = chrono_tz::Europe::Berlin;

fn wall(text: &str) -> Value {
    Value::DateTime(wall_clock(text).unwrap())
}

#[test]
fn writes() {
    let null_text = Conversion::Text(text_rule());
    let keep = Conversion::Text(TextRule { keep_overflow: true, ..TextRule::default() });
    let flag = Conversion::Boolean {
        yes: vec![Expression::Literal(Value::Int(1))],
        no: vec![Expression::Literal(Value::Int(0))],
    };
    let kinds = Conversion::Enum(vec![("manager".into(), Value::Int(3)), ("staff".into(), Value::Int(1))]);
    let locales = |values: &[&str], separator| Conversion::Locale {
        separator,
        values: values.iter().map(|v| (*v).to_owned()).collect(),
    };
    let en = locales(&["en-US", "en-GB", "de-DE"], '-');
    let plain = || Conversion::Text(TextRule::default());
    let entities = || TextRule { entities: Some(Entities::Always), ..TextRule::default() };
    let always = |parts: Option<&str>| Conversion::Text(TextRule { parts: parts.map(str::to_owned), ..entities() });
    let mixed = || Conversion::Text(TextRule { entities: Some(Entities::Mixed), ..TextRule::default() });
    let t10 = || ColumnKind::Text(Some(10));
    let cases: Vec<(Conversion, ColumnKind, Json, Result<Value, &str>)> = vec![
        (null_text.clone(), t10(), json!("  ada "), Ok("ada".into())),
        (null_text.clone(), t10(), json!("   "), Ok(Value::Null)),
        (null_text.clone(), t10(), json!(null), Ok(Value::Null)),
        (plain(), t10(), json!(""), Ok("".into())),
        (plain(), t10(), json!(701984), Ok("701984".into())),
        (plain(), t10(), json!("ääääääääää"), Ok("ääääääääää".into())),
        (plain(), t10(), json!("12345678901"), Err("is longer than 10 characters")),
        (plain(), t10(), json!("a\0b"), Err("contains a NUL character")),
        (plain(), t10(), json!({"a": 1}), Err("is not a string")),
        (keep, t10(), json!("12345678901"), Ok("1234567890".into())),
        (always(None), t10(), json!("R&D"), Ok("R&#38;D".into())),
        (
            always(None),
            t10(),
            json!("a<b>"),
            Err("is longer than 10 characters, counting each of & < > as the five that it is stored as"),
        ),
        (always(Some(" > ")), t10(), json!("& > b"), Ok("&#38; > b".into())),
        (
            Conversion::Text(TextRule { keep_overflow: true, ..entities() }),
            t10(),
            json!("abcdef&&"),
            Ok("abcdef".into()),
        ),
        (mixed(), t10(), json!("a<&>#60;"), Ok("a<&>#60;".into())),
        (plain(), INT, json!("12"), Ok(Value::Int(12))),
        (plain(), INT, json!("x"), Err("is not a whole number")),
        (plain(), ColumnKind::Enum(vec!["a".into(), "b".into()]), json!("c"), Err("is not one of a, b")),
        (flag.clone(), INT, json!("False"), Ok(Value::Int(0))),
        (flag.clone(), INT, json!(true), Ok(Value::Int(1))),
        (flag, INT, json!("yes"), Err("is not true or false")),
        (kinds.clone(), INT, json!("Manager"), Ok(Value::Int(3))),
        (kinds, INT, json!("boss"), Err("is not one of manager, staff")),
        (Conversion::Integer, INT, json!(256), Err("is not between 0 and 255")),
        (Conversion::Integer, INT, json!(5.0), Ok(Value::Int(5))),
        (Conversion::Integer, INT, json!(5.5), Err("is not a whole number")),
        (Conversion::Decimal, ColumnKind::Decimal, json!("12.50"), Ok("12.50".into())),
        (Conversion::Decimal, ColumnKind::Decimal, json!("1e999"), Err("is not a number")),
        (Conversion::DateTime, ColumnKind::DateTime, json!("2026-11-21T19:00:00Z"), Ok(wall("2026-11-21 20:00:00"))),
        (
            Conversion::DateTime,
            ColumnKind::DateTime,
            json!("2026-07-01T12:00:00+05:30"),
            Ok(wall("2026-07-01 08:30:00")),
        ),
        (Conversion::DateTime, ColumnKind::Text(None), json!("2026-11-21T19:00:00"), Ok("2026-11-21 20:00:00".into())),
        (
            Conversion::DateTime,
            ColumnKind::DateTime,
            json!("tomorrow"),
            Err("is not a date and time like 2026-11-21T19:00:00Z"),
        ),
        // "For ever", as clients say it: the last second that there is, in every zone.
        (
            Conversion::DateTime,
            ColumnKind::DateTime,
            json!("9999-12-31T23:59:59.9999999Z"),
            Ok(wall("9999-12-31 23:59:59")),
        ),
        (
            Conversion::DateTime,
            ColumnKind::DateTime,
            json!("9999-12-31T23:59:59-05:00"),
            Ok(wall("9999-12-31 23:59:59")),
        ),
        (
            Conversion::DateTime,
            ColumnKind::Instant,
            json!("9999-12-31T23:59:59-05:00"),
            Ok(Value::Instant(DateTime::from_timestamp(253_402_297_199, 0).unwrap())),
        ),
        (Conversion::DateTime, ColumnKind::Text(None), json!("9999-12-31T23:59:59Z"), Ok("9999-12-31 23:59:59".into())),
        (
            Conversion::DateTime,
            ColumnKind::DateTime,
            json!("0001-01-01T00:00:00+14:00"),
            Ok(wall("0001-01-01 00:53:28")),
        ),
        (
            Conversion::DateTime,
            ColumnKind::DateTime,
            json!("0000-01-01T00:00:00Z"),
            Err("is not between the years 1 and 9999"),
        ),
        (
            Conversion::DateTime,
            ColumnKind::DateTime,
            json!("+10000-01-01T00:00:00"),
            Err("is not between the years 1 and 9999"),
        ),
        (Conversion::Date, ColumnKind::Date, json!("+10000-01-01"), Err("is not between the years 1 and 9999")),
        (Conversion::Date, ColumnKind::Text(None), json!("0000-02-01"), Err("is not between the years 1 and 9999")),
        (Conversion::DateTime, ColumnKind::DateTime, json!("2016-12-31T23:59:60Z"), Ok(wall("2017-01-01 01:00:00"))),
        (
            Conversion::DateTime,
            ColumnKind::Text(None),
            json!("2016-12-31T23:59:60.5Z"),
            Ok("2017-01-01 01:00:00".into()),
        ),
        (Conversion::Unix(1), ColumnKind::Other, json!("2016-12-31T23:59:60Z"), Ok(Value::Int(1_483_228_800))),
        (Conversion::Unix(1000), ColumnKind::Other, json!("1970-01-01T00:00:01.500Z"), Ok(Value::Int(1500))),
        (
            Conversion::Date,
            ColumnKind::Date,
            json!("2026-11-21T00:00:00Z"),
            Ok(Value::Date(NaiveDate::from_ymd_opt(2026, 11, 21).unwrap())),
        ),
        (Conversion::Date, ColumnKind::Date, json!("21.11.2026"), Err("is not a date like 2026-11-21")),
        (Conversion::Binary, ColumnKind::Binary(Some(2)), json!("AQI="), Ok(Value::Bytes(vec![1, 2]))),
        (Conversion::Binary, ColumnKind::Binary(Some(1)), json!("AQI="), Err("is longer than 1 bytes")),
        (Conversion::Json, ColumnKind::Json, json!({"a": [1]}), Ok("{\"a\":[1]}".into())),
        (Conversion::Uuid, ColumnKind::Uuid, json!("nope"), Err("is not a UUID")),
        (en.clone(), t10(), json!("en-US,en;q=0.8"), Ok("en-US".into())),
        (en.clone(), t10(), json!("de_AT"), Ok("de-DE".into())),
        (en.clone(), t10(), json!("tlh"), Err("is not one of the application's languages (en-US, en-GB, de-DE)")),
        (en, t10(), json!("?"), Err("is not a language tag like en-US")),
        (locales(&[], '_'), t10(), json!("FR-ca"), Ok("fr_CA".into())),
    ];
    for (conversion, kind, input, expected) in cases {
        let got = conversion.write(&input, &column(kind), TZ);
        assert_eq!(got, expected.map_err(|e| Refusal(e.to_owned())), "{conversion:?} {input}");
    }
}

#[test]
fn reads() {
    let flag = Conversion::Boolean {
        yes: vec![Expression::Literal("active".into()), Expression::Literal("invited".into())],
        no: vec![Expression::Literal("suspended".into())],
    };
    let disabled_at = Conversion::Boolean {
        yes: vec![Expression::Literal(Value::Null)],
        no: vec![Expression::Variable(Variable::Now)],
    };
    let cases: Vec<(Conversion, ColumnKind, Value, Option<Json>)> = vec![
        (Conversion::Text(text_rule()), ColumnKind::Text(None), "".into(), None),
        (Conversion::Text(text_rule()), INT, Value::Int(7), Some(json!("7"))),
        (flag.clone(), ColumnKind::Text(None), "invited".into(), Some(json!(true))),
        (flag.clone(), ColumnKind::Text(None), "locked".into(), None),
        (flag, ColumnKind::Text(None), Value::Null, None),
        (disabled_at.clone(), ColumnKind::DateTime, Value::Null, Some(json!(true))),
        (disabled_at, ColumnKind::DateTime, wall("2026-01-01 00:00:00"), Some(json!(false))),
        (Conversion::Enum(vec![("x".into(), Value::Int(3))]), INT, Value::Int(4), None),
        (Conversion::Enum(vec![("x".into(), Value::Int(3))]), INT, "3".into(), Some(json!("x"))),
        (Conversion::Decimal, ColumnKind::Decimal, "12.50".into(), Some(json!(12.5))),
        (Conversion::DateTime, ColumnKind::DateTime, wall("2026-11-21 20:00:00"), Some(json!("2026-11-21T19:00:00Z"))),
        // 02:30 was never shown on that day: 01:30 UTC is when the clock would have said so.
        (Conversion::DateTime, ColumnKind::DateTime, wall("2026-03-29 02:30:00"), Some(json!("2026-03-29T01:30:00Z"))),
        // 02:30 was shown twice: the first.
        (Conversion::DateTime, ColumnKind::DateTime, wall("2026-10-25 02:30:00"), Some(json!("2026-10-25T00:30:00Z"))),
        (
            Conversion::DateTime,
            ColumnKind::Text(None),
            "2026-11-21 20:00:00".into(),
            Some(json!("2026-11-21T19:00:00Z")),
        ),
        (Conversion::Unix(1000), INT, Value::Int(1500), Some(json!("1970-01-01T00:00:01.500Z"))),
        (Conversion::Binary, ColumnKind::Binary(None), Value::Bytes(vec![1, 2]), Some(json!("AQI="))),
        (Conversion::Locale { separator: '_', values: vec![] }, INT, "fr_CA".into(), Some(json!("fr-CA"))),
        (Conversion::Json, ColumnKind::Json, "{broken".into(), None),
    ];
    for (conversion, kind, stored, expected) in cases {
        assert_eq!(conversion.read(&stored, &column(kind), TZ), expected, "{conversion:?} {stored:?}");
    }
}

#[test]
fn a_boolean_may_be_computed() {
    let disabled_at = Conversion::Boolean {
        yes: vec![Expression::Literal(Value::Null)],
        no: vec![Expression::Variable(Variable::Now)],
    };
    assert!(matches!(disabled_at.write_boolean(false), Some(Expression::Variable(Variable::Now))));
    let at = column(ColumnKind::DateTime);
    assert_eq!(disabled_at.write(&json!(true), &at, TZ), Ok(Value::Null));
    assert!(disabled_at.write(&json!(false), &at, TZ).is_err());
}
