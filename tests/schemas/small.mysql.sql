-- A small legacy application: people, teams, memberships, departments, equipment, history. No foreign keys and hardly an
-- index beyond the primary keys, as such applications are.
CREATE TABLE people (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
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
  department_id int DEFAULT NULL,
  manager_id int DEFAULT NULL,
  kind varchar(10) NOT NULL DEFAULT 'person',
  badge varchar(40) DEFAULT 'none',
  created_at datetime DEFAULT NULL,
  updated_at datetime DEFAULT NULL,
  gone_at datetime DEFAULT NULL,
  KEY people_login (login)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE departments (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name varchar(100) NOT NULL,
  created_at datetime DEFAULT NULL,
  closed_at datetime DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE teams (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name varchar(100) NOT NULL,
  created_at datetime DEFAULT NULL,
  updated_at datetime DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE memberships (
  team_id int NOT NULL,
  person_id int NOT NULL,
  PRIMARY KEY (team_id, person_id),
  KEY memberships_person (person_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE equipment (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
  holder_id int DEFAULT NULL,
  label varchar(60) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE history (
  id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
  person_id int NOT NULL,
  what varchar(20) NOT NULL,
  changes text DEFAULT NULL,
  at datetime NOT NULL,
  KEY history_person (person_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;
