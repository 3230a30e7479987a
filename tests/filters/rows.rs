//! A thousand random people and forty teams, the same in three databases.

use crate::random::Random;
use crate::support::databases::{Database, Engine};
use chrono::{Duration, NaiveDate, NaiveDateTime, TimeZone};

pub const PEOPLE: usize = 1000;
const TEAMS: usize = 40;
const DEPARTMENTS: usize = 12;

/// What texts are made of: letters with and without accents in both cases, `ß`, both small sigmas, emoji, what LIKE and SQL
/// quoting treat specially. Left out are letters that the databases' own tables fold differently (`ẞ`, `İ`): see
/// `src/directory/text.rs`.
pub const PIECES: &[&str] = &[
    "ada", "Ada", "ADA", "bob", "e", "E", "é", "É", "ä", "Ä", "ö", "ü", "ß", "ss", "SS", "ж", "Ж", "σ", "ς", "Σ", "😀",
    "🚀", "%", "_", "\\", "!", "'", "\"", "`", "-", " ", ".", "1", "2", "10", "a%b", "a_b", "!%", "\\'", "@x.org", "z",
    "Z", "日本", "&", "<", ">", " > ",
];

/// The columns that hold text: their names, and the odds of NULL in a hundred.
pub const TEXTS: &[(&str, u64)] = &[
    ("login", 0),
    ("ext", 25),
    ("given", 15),
    ("family", 15),
    ("display", 50),
    ("nick", 25),
    ("title", 20),
    ("mail", 25),
    ("work_phone", 40),
    ("work_label", 60),
    ("mobile_phone", 50),
    ("badge", 20),
];

/// A short text; some end in a space or are a single one.
pub fn text(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(3) {
        text.push_str(random.pick::<&str>(PIECES));
    }
    if random.percent(8) {
        text.push(' ');
    }
    text
}

/// What an application that keeps `&`, `<` and `>` as entities has stored: encoded, of older rows otherwise, or never.
fn entities(random: &mut Random) -> String {
    const STORED: &[&str] = &[
        "R&#38;D",
        "R&D",
        "r&#38;d",
        "&#60;b&#62;",
        "&lt;b&gt;",
        "<b>",
        "&amp;",
        "&#38;amp;",
        " > ",
        " > ",
        " &#62; ",
        "a",
        "É",
        "x",
        " ",
        "&#38;#60;",
        "%",
        "_",
    ];
    (0..1 + random.below(4)).map(|_| *random.pick(STORED)).collect()
}

/// The CREATE TABLEs.
fn tables(engine: Engine) -> String {
    let (datetime, micro, instant, exact, loose, double) = match engine {
        Engine::MariaDb => ("datetime", "datetime(6)", "datetime(6)", " COLLATE utf8mb4_bin", "", "double"),
        Engine::Postgres => ("timestamp(0)", "timestamp", "timestamptz", "", "", "double precision"),
        Engine::Sqlite => ("DATETIME", "DATETIME", "DATETIME", "", " COLLATE NOCASE", "REAL"),
    };
    format!(
        "CREATE TABLE people (id int NOT NULL PRIMARY KEY, login varchar(100) NOT NULL, ext varchar(100){loose}, given varchar(60),
         family varchar(60){loose}, display varchar(120), nick varchar(60), title varchar(60){exact}, mail varchar(120),
         work_phone varchar(40), work_label varchar(40), mobile_phone varchar(40), badge varchar(60){loose}, kind smallint,
         enabled smallint, state varchar(10), logins int, rate decimal(12,4), score {double}, hired {micro}, seen {instant},
         born date, created_at {datetime}, updated_at {datetime}, department_id int, manager_id int, gone int NOT NULL,
         motto varchar(200){loose}, place varchar(200), pinged bigint, left_at {datetime}, lang varchar(20));
         CREATE TABLE departments (id int NOT NULL PRIMARY KEY, name varchar(60));
         CREATE TABLE teams (id int NOT NULL PRIMARY KEY, name varchar(100) NOT NULL, created_at {datetime});
         CREATE TABLE memberships (team_id int NOT NULL, person_id int NOT NULL, PRIMARY KEY (team_id, person_id));
         CREATE INDEX memberships_person ON memberships (person_id);\n"
    )
}

/// One value of a row.
enum Cell {
    Null,
    Text(String),
    Number(String),
    /// A wall clock in Berlin, and whether the column is PostgreSQL's timestamptz.
    Wall(NaiveDateTime, bool),
}

impl Cell {
    fn sql(&self, engine: Engine) -> String {
        match self {
            Cell::Null => "NULL".to_owned(),
            Cell::Number(number) => number.clone(),
            Cell::Text(text) => {
                let text = text.replace('\'', "''");
                let text = if engine == Engine::MariaDb { text.replace('\\', "\\\\") } else { text };
                format!("'{text}'")
            }
            Cell::Wall(wall, true) if engine == Engine::Postgres => {
                let at = chrono_tz::Europe::Berlin.from_local_datetime(wall).earliest().unwrap();
                format!("'{}'", at.to_rfc3339())
            }
            Cell::Wall(wall, _) => format!("'{}'", wall.format("%Y-%m-%d %H:%M:%S%.f")),
        }
    }
}

/// An hour of a few years; often around a change of the clocks, never at an hour that does not exist.
pub fn wall(random: &mut Random) -> NaiveDateTime {
    let day = match random.below(4) {
        0 => NaiveDate::from_ymd_opt(2025, 10, 26).unwrap(),
        1 => NaiveDate::from_ymd_opt(2025, 7, 1).unwrap(),
        _ => NaiveDate::from_ymd_opt(2024, 1, 1).unwrap() + Duration::days(random.below(700) as i64),
    };
    let (hour, minute) = (random.below(24) as u32, [0, 15, 30, 45][random.below(4) as usize]);
    let wall = day.and_hms_opt(hour, minute, random.below(2) as u32 * 30).unwrap();
    match chrono_tz::Europe::Berlin.from_local_datetime(&wall).earliest() {
        Some(_) => wall,
        None => wall + Duration::hours(1),
    }
}

/// The statements that fill a database.
pub fn sql(engine: Engine, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut sql = tables(engine);
    let mut insert = |table: &str, cells: Vec<Cell>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.sql(engine)).collect();
        sql.push_str(&format!("INSERT INTO {table} VALUES ({});\n", cells.join(", ")));
    };
    let number = |number: i64| Cell::Number(number.to_string());
    for id in 1..=DEPARTMENTS {
        let name = match id {
            1 => Cell::Null,
            2 => Cell::Text(String::new()),
            _ => Cell::Text(text(&mut random)),
        };
        insert("departments", vec![number(id as i64), name]);
    }
    for id in 1..=PEOPLE {
        let mut cells = vec![number(id as i64)];
        for (column, nulls) in TEXTS.iter().take(11) {
            cells.push(text_cell(&mut random, column, *nulls));
        }
        cells.push(text_cell(&mut random, "badge", 20));
        let maybe = |random: &mut Random, cell: Cell| if random.percent(20) { Cell::Null } else { cell };
        let kind = number([1, 2, 3, 9][random.below(4) as usize]);
        cells.push(maybe(&mut random, kind));
        let enabled = number([1, 1, 0, 7][random.below(4) as usize]);
        cells.push(maybe(&mut random, enabled));
        let state = Cell::Text(["locked", "banned", "open", "else"][random.below(4) as usize].to_owned());
        cells.push(maybe(&mut random, state));
        let logins = number([0, 1, 5, -3, 2_147_483_647, random.below(50) as i64][random.below(6) as usize]);
        cells.push(maybe(&mut random, logins));
        let rate = format!("{}.{:04}", random.below(20) as i64 - 5, [0, 5000, 1, 1234][random.below(4) as usize]);
        cells.push(maybe(&mut random, Cell::Number(rate)));
        let score = ["0.1", "-2.5e10", "1e-7", "3.5", "7", "0"][random.below(6) as usize];
        cells.push(maybe(&mut random, Cell::Number(score.to_owned())));
        let micros = Duration::microseconds([0, 0, 500_000, 123_456][random.below(4) as usize]);
        let hired = Cell::Wall(wall(&mut random) + micros, false);
        cells.push(maybe(&mut random, hired));
        let seen = Cell::Wall(wall(&mut random) + micros, true);
        cells.push(maybe(&mut random, seen));
        let born = Cell::Text(wall(&mut random).date().to_string());
        cells.push(maybe(&mut random, born));
        for _ in 0..2 {
            let at = Cell::Wall(wall(&mut random), false);
            cells.push(maybe(&mut random, at));
        }
        let department = number(1 + random.below(DEPARTMENTS as u64 + 1) as i64);
        cells.push(maybe(&mut random, department));
        let manager = number(1 + random.below(30) as i64);
        cells.push(maybe(&mut random, manager));
        cells.push(number(i64::from(random.percent(4))));
        for _ in 0..2 {
            let text = Cell::Text(entities(&mut random));
            cells.push(maybe(&mut random, text));
        }
        let at = wall(&mut random).and_utc().timestamp_millis() + random.below(2) as i64 * 500;
        cells.push(maybe(&mut random, number(at)));
        let at = Cell::Wall(wall(&mut random), false);
        cells.push(if random.percent(60) { Cell::Null } else { at });
        let lang = *random.pick(&["en_US", "en_GB", "de_DE", "fr", "zh_Hant_TW", ""]);
        cells.push(maybe(&mut random, Cell::Text(lang.to_owned())));
        insert("people", cells);
    }
    for id in 1..=TEAMS {
        let at = wall(&mut random);
        insert("teams", vec![number(id as i64), Cell::Text(text(&mut random)), Cell::Wall(at, false)]);
        if random.percent(15) {
            continue;
        }
        let mut members: Vec<i64> = (0..random.below(60)).map(|_| 1 + random.below(PEOPLE as u64) as i64).collect();
        members.sort_unstable();
        members.dedup();
        for member in members {
            insert("memberships", vec![number(id as i64), number(member)]);
        }
    }
    match engine {
        Engine::MariaDb => format!("START TRANSACTION;\n{sql}COMMIT;\n"),
        _ => format!("BEGIN;\n{sql}COMMIT;\n"),
    }
}

fn text_cell(random: &mut Random, column: &str, nulls: u64) -> Cell {
    match random.below(100) {
        roll if roll < nulls => Cell::Null,
        roll if roll < nulls + 10 => Cell::Text(String::new()),
        // A few names of many people, so that equality finds some.
        _ if column == "given" || column == "family" || random.percent(25) => {
            Cell::Text((*random.pick(&["ada", "Ada", "É", "é", "e", "ß", "ss", "e ", "Ж", "a%b", "A_B"])).to_owned())
        }
        _ => Cell::Text(text(random)),
    }
}

/// A database with all of it.
pub fn database(engine: Engine, seed: u64) -> Database {
    let database = Database::create(engine);
    database.execute(&sql(engine, seed));
    database
}
