-- A small legacy application: people, teams, memberships, departments, equipment, history. No foreign keys and hardly an
-- index beyond the primary keys, as such applications are.
CREATE TABLE people (
  id integer PRIMARY KEY AUTOINCREMENT,
  login varchar(100) NOT NULL,
  given varchar(60) DEFAULT NULL,
  family varchar(60) DEFAULT NULL,
  display varchar(120) DEFAULT NULL,
  mail varchar(190) DEFAULT NULL,
  enabled smallint NOT NULL DEFAULT 0,
  work_phone varchar(40) DEFAULT NULL,
  mobile_phone varchar(40) DEFAULT NULL,
  street varchar(190) DEFAULT NULL,
  city varchar(190) DEFAULT NULL,
  postcode varchar(10) DEFAULT NULL,
  title varchar(100) DEFAULT NULL,
  language varchar(20) DEFAULT NULL,
  staff_no varchar(20) DEFAULT NULL,
  department_id integer DEFAULT NULL,
  manager_id integer DEFAULT NULL,
  kind varchar(10) NOT NULL DEFAULT 'person',
  badge varchar(40) DEFAULT 'none',
  created_at datetime DEFAULT NULL,
  updated_at datetime DEFAULT NULL,
  gone_at datetime DEFAULT NULL
);

CREATE TABLE departments (
  id integer PRIMARY KEY AUTOINCREMENT,
  name varchar(100) NOT NULL,
  created_at datetime DEFAULT NULL,
  closed_at datetime DEFAULT NULL
);

CREATE TABLE teams (
  id integer PRIMARY KEY AUTOINCREMENT,
  name varchar(100) NOT NULL,
  created_at datetime DEFAULT NULL,
  updated_at datetime DEFAULT NULL
);

CREATE TABLE memberships (
  team_id integer NOT NULL,
  person_id integer NOT NULL,
  PRIMARY KEY (team_id, person_id)
);

CREATE TABLE equipment (
  id integer PRIMARY KEY AUTOINCREMENT,
  holder_id integer DEFAULT NULL,
  label varchar(60) NOT NULL
);

CREATE TABLE history (
  id integer PRIMARY KEY AUTOINCREMENT,
  person_id integer NOT NULL,
  what varchar(20) NOT NULL,
  changes text DEFAULT NULL,
  at datetime NOT NULL
);

CREATE INDEX people_login ON people (login);
CREATE INDEX memberships_person ON memberships (person_id);
CREATE INDEX history_person ON history (person_id);
