-- compatible: 39
-- Which process was the last to ask a panel (operational), and when it had its last answer.

CREATE TABLE panel_turns (
	slot TEXT NOT NULL PRIMARY KEY,   -- 'game', 'virtfusion'
	holder TEXT NOT NULL,
	ended_ms BIGINT NOT NULL          -- 0 = it has not said that it ended
);
