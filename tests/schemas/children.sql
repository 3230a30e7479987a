-- Child tables of the small application: mailboxes, posts that people hold at places, hobbies, desks, contracts, seats in teams. KEY and
-- MOMENT stand for what each database calls them; no foreign keys, as in the rest of the application.
CREATE TABLE mailboxes (
  id KEY,
  person_id integer NOT NULL,
  address varchar(190) DEFAULT NULL,
  kind varchar(10) DEFAULT NULL,
  is_main smallint NOT NULL DEFAULT 0,
  source varchar(10) NOT NULL DEFAULT 'person',
  note varchar(40) DEFAULT 'none',
  verified_at MOMENT DEFAULT NULL,
  UNIQUE (person_id, address)
);

CREATE TABLE mail_log (
  id KEY,
  person_id integer NOT NULL,
  mailbox_id integer NOT NULL,
  what varchar(10) NOT NULL,
  was varchar(60) DEFAULT NULL,
  became varchar(60) DEFAULT NULL
);

CREATE TABLE posts (
  id KEY,
  name varchar(60) NOT NULL,
  UNIQUE (name)
);

CREATE TABLE places (
  id KEY,
  path varchar(60) NOT NULL,
  UNIQUE (path)
);

CREATE TABLE person_posts (
  id KEY,
  person_id integer NOT NULL,
  post_id integer NOT NULL DEFAULT 0,
  place_id integer NOT NULL DEFAULT 0,
  source varchar(10) NOT NULL DEFAULT 'rule',
  deep smallint NOT NULL DEFAULT 1
);

CREATE TABLE hobbies (
  person_id integer NOT NULL,
  hobby varchar(40) NOT NULL,
  PRIMARY KEY (person_id, hobby)
);

CREATE TABLE desks (
  id KEY,
  person_id integer NOT NULL,
  desk varchar(20) NOT NULL,
  floor integer DEFAULT NULL,
  gone_at MOMENT DEFAULT NULL,
  UNIQUE (person_id, desk)
);

CREATE TABLE contracts (
  id KEY,
  person_id integer NOT NULL,
  job varchar(20) DEFAULT NULL,
  source varchar(10) NOT NULL DEFAULT 'person'
);

CREATE TABLE seats (
  team_id integer NOT NULL,
  person_id integer NOT NULL,
  source varchar(10) NOT NULL DEFAULT 'person',
  grade varchar(10) DEFAULT 'plain',
  gone_at MOMENT DEFAULT NULL,
  PRIMARY KEY (team_id, person_id)
);

CREATE TABLE seat_log (
  id KEY,
  team_id integer NOT NULL,
  what varchar(10) NOT NULL,
  who varchar(60) DEFAULT NULL,
  grade varchar(10) DEFAULT NULL
);

CREATE INDEX seats_person ON seats (person_id);
CREATE INDEX person_posts_person ON person_posts (person_id);
CREATE INDEX contracts_person ON contracts (person_id);
CREATE INDEX mailboxes_address ON mailboxes (address);

INSERT INTO posts (name) VALUES ('clerk'), ('judge'), ('ops@night');
INSERT INTO places (path) VALUES ('town'), ('town > hall');
