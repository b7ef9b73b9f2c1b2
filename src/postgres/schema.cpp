// SPDX-License-Identifier: MIT
// This file holds the SQL of a queue. A call is one row from its submission to the day on which its key is forgotten,
// so that the primary key alone makes its outcome single: with a table for outcomes of its own, a submission could
// slip in between the deletion from the one and the insertion into the other.
//
//     queued(0) --claim--> running(1) --finish--> ended(2) --its time is up--> expired(3) --remembered long enough-->
//     gone
//        ^  |                 |
//        |  +-----cancel------|--------------------> ended(2)
//        +--release; its worker died, and it may start again
//
// Clients and workers have rights to call functions and no rights on the tables. The functions run with the rights of
// their owner and a search path of their own.
//
// A worker lives as long as its session holds an advisory lock and its lease is renewed. reap() ends those that do
// not. It lets some time pass after the server was started, or its clock was set: everybody has to come back first.
//
// A connection that was lost may have left a statement behind, which the server carries out at any later time. So each
// connection of a worker is a session with a number of its own, and its row holds the present one and the server's
// process of it: enter() refuses everything else, and locks the row, so that a session ends with its last statement.
#include "postgres/schema.hpp"

#include <muster/detail/assert.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <stdexcept>

namespace muster::postgres::schema {

namespace {

constexpr std::string_view tables_1 = R"sql(
CREATE TABLE @.setting (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version int NOT NULL,
    queue_limit bigint NOT NULL DEFAULT 0,
    payload_limit bigint NOT NULL DEFAULT 16777216,
    session_grace interval NOT NULL DEFAULT '1 second',
    restart_grace interval NOT NULL DEFAULT '5 seconds',
    remember interval NOT NULL DEFAULT '30 days',
    server_started timestamptz,
    quiet_until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO @.setting (version, server_started) VALUES (1, pg_postmaster_start_time());
CREATE TABLE @.load (slot int PRIMARY KEY, queued bigint NOT NULL DEFAULT 0) WITH (fillfactor = 20);
INSERT INTO @.load (slot) SELECT generate_series(0, 31);
CREATE TABLE @.worker (
    epoch int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host text NOT NULL,
    process int NOT NULL,
    slots int NOT NULL,
    functions text[] NOT NULL,
    signatures text[] NOT NULL,
    lease interval NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    lost_at timestamptz,
    state smallint NOT NULL DEFAULT 0,
    why text NOT NULL DEFAULT ''
);
CREATE INDEX worker_alive ON @.worker (epoch) WHERE state < 2;
CREATE TABLE @.call (
    key uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    function text NOT NULL,
    signature text NOT NULL,
    digest bytea NOT NULL,
    payload bytea NOT NULL,
    priority int NOT NULL,
    due_at timestamptz NOT NULL,
    starts int NOT NULL,
    keep interval NOT NULL,
    client text NOT NULL,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    state smallint NOT NULL DEFAULT 0,
    attempt int NOT NULL DEFAULT 0,
    epoch int,
    stop boolean NOT NULL DEFAULT false,
    begun_at timestamptz,
    ended_at timestamptz,
    expires_at timestamptz,
    how text NOT NULL DEFAULT '',
    answer bytea
);
CREATE INDEX call_queued ON @.call (priority DESC, due_at, number) WHERE state = 0;
CREATE INDEX call_running ON @.call (epoch) WHERE state = 1;
CREATE INDEX call_ended ON @.call (expires_at) WHERE state >= 2;
)sql";

constexpr std::string_view tables_2 = R"sql(
ALTER TABLE @.setting ADD COLUMN reaped_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE @.setting ADD COLUMN purged_at timestamptz NOT NULL DEFAULT now();
)sql";

constexpr std::string_view tables_3 = R"sql(
ALTER TABLE @.worker ADD COLUMN session int NOT NULL DEFAULT 0;
ALTER TABLE @.worker ADD COLUMN backend int NOT NULL DEFAULT 0;
ALTER TABLE @.worker ADD COLUMN late_at timestamptz;
ALTER TABLE @.call ADD COLUMN claim int NOT NULL DEFAULT 0;
ALTER TABLE @.call ADD COLUMN host text NOT NULL DEFAULT '';
ALTER TABLE @.call ADD COLUMN process int NOT NULL DEFAULT 0;
ALTER TABLE @.call ADD COLUMN delayed boolean NOT NULL DEFAULT false;
UPDATE @.call SET claim = attempt, delayed = due_at > submitted_at;
UPDATE @.call c SET host = w.host, process = w.process FROM @.worker w WHERE w.epoch = c.epoch AND c.state = 2;
DROP INDEX @.call_ended;
CREATE INDEX call_outcome ON @.call (expires_at) WHERE state = 2;
CREATE INDEX call_remembered ON @.call (expires_at) WHERE state = 3;
CREATE INDEX call_stopped ON @.call (epoch) WHERE state = 1 AND stop;
CREATE UNLOGGED TABLE @.alive (since timestamptz NOT NULL DEFAULT clock_timestamp());
INSERT INTO @.alive DEFAULT VALUES;
)sql";

// By its id whoever has seen a queue before knows it again, whatever address leads to it.
constexpr std::string_view tables_4 = R"sql(
ALTER TABLE @.setting ADD COLUMN id text NOT NULL
    DEFAULT left(encode(sha256(convert_to(random()::text || clock_timestamp()::text || pg_backend_pid()::text, 'UTF8')),
        'hex'), 32);
)sql";

// A worker comes back with the secret that it was announced with. Times that no timestamp holds would fail whoever adds
// them, and a client's name that is no channel whoever ends a call of it.
constexpr std::string_view tables_5 = R"sql(
ALTER TABLE @.worker ADD COLUMN secret bytea NOT NULL DEFAULT '';
UPDATE @.worker SET lease = least(greatest(lease, interval '0'), interval '1 year');
UPDATE @.call SET keep = interval '0' WHERE keep < interval '0';
UPDATE @.call SET client = md5(client) WHERE octet_length(client) NOT BETWEEN 1 AND 32;
)sql";

constexpr std::string_view all_functions = R"sql(
DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = '@'
    LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP;
END $$;

-- The number under which the sessions of workers hold their locks.
CREATE FUNCTION @.lock_class() RETURNS int LANGUAGE sql STABLE AS $$ SELECT hashtext('muster queue @') $$;

-- The workers whose sessions are there: a session holds a lock with the number of its worker.
CREATE FUNCTION @.sessions() RETURNS int[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(DISTINCT l.objid::bigint::int), '{}') FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid::bigint = (@.lock_class()::bigint & 4294967295) $$;

-- Functions that each step calls are of plpgsql, which keeps their plans.
CREATE FUNCTION @.count_queued(p_more bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_more <> 0 THEN
        UPDATE @.load SET queued = queued + p_more WHERE slot = pg_backend_pid() % 32;
    END IF;
END $$;

-- Tells clients which of their calls have ended: a message holds 200 keys at most.
CREATE FUNCTION @.tell_clients(p_clients text[], p_keys uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('@_' || m.client, m.keys) FROM (
        SELECT g.client, string_agg(replace(g.key::text, '-', ''), '') AS keys
        FROM (SELECT u.client, u.key, (row_number() OVER (PARTITION BY u.client) - 1) / 200 AS part
            FROM unnest(p_clients, p_keys) AS u(client, key)) g
        GROUP BY g.client, g.part) m;
END $$;

-- Ends what a worker runs that is no more, of some keys or all: starts it again where that is allowed.
CREATE FUNCTION @.end_calls(w @.worker, p_keys uuid[], p_how text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_again bigint; v_clients text[]; v_keys uuid[];
BEGIN
    WITH again AS (UPDATE @.call SET state = 0, epoch = NULL
        WHERE epoch = w.epoch AND state = 1 AND attempt < starts AND NOT stop AND (p_keys IS NULL OR key = ANY (p_keys))
        RETURNING 1)
    SELECT count(*) INTO v_again FROM again;
    IF v_again > 0 THEN
        PERFORM @.count_queued(v_again);
        PERFORM pg_notify('@_work', '');
    END IF;
    WITH died AS (UPDATE @.call SET state = 2, how = p_how, payload = '', host = w.host, process = w.process,
            ended_at = now(), expires_at = now() + keep
        WHERE epoch = w.epoch AND state = 1 AND (p_keys IS NULL OR key = ANY (p_keys)) RETURNING client, key)
    SELECT array_agg(client), array_agg(key) INTO v_clients, v_keys FROM died;
    IF v_keys IS NOT NULL THEN PERFORM @.tell_clients(v_clients, v_keys); END IF;
END $$;

-- Ends all that a worker runs. A row that can't be changed with the others is ended by itself, and one that can't be
-- ended in the usual way gets the least that an end is: it keeps neither its worker nor its siblings from their ends.
CREATE FUNCTION @.bury(w @.worker, p_how text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_key uuid;
BEGIN
    BEGIN
        PERFORM @.end_calls(w, NULL, p_how);
        RETURN;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'muster: the calls of worker % end one by one: %', w.epoch, SQLERRM;
    END;
    FOR v_key IN SELECT key FROM @.call WHERE epoch = w.epoch AND state = 1 LOOP
        BEGIN
            PERFORM @.end_calls(w, ARRAY[v_key], p_how);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'muster: the call % ends by force: %', v_key, SQLERRM;
            UPDATE @.call SET state = 2, how = p_how, payload = '', host = w.host, process = w.process,
                ended_at = now(), expires_at = now() + interval '1 day' WHERE key = v_key;
        END;
    END LOOP;
END $$;

-- Begins a step of a worker: renews its lease, and locks its row to the end of the step, so that it is not declared dead
-- meanwhile. A statement of another session than the worker's present one is refused: it was sent before the worker came
-- back, or somebody has sent it twice, and its answer would reach nobody. *Returns* nothing for a worker that was taken
-- for dead.
CREATE FUNCTION @.enter(p_epoch int, p_session int) RETURNS @.worker LANGUAGE plpgsql AS $$
DECLARE w @.worker;
BEGIN
    UPDATE @.worker SET seen_at = clock_timestamp(), late_at = NULL
        WHERE epoch = p_epoch AND session = p_session AND backend = pg_backend_pid() AND state < 2 RETURNING * INTO w;
    IF NOT FOUND AND EXISTS (SELECT FROM @.worker WHERE epoch = p_epoch AND state < 2) THEN
        RAISE EXCEPTION 'worker % has come back on another connection', p_epoch USING ERRCODE = '08003';
    END IF;
    RETURN w;
END $$;

-- ---- for clients and workers ----

CREATE FUNCTION @.terms() RETURNS TABLE (version int, payload_limit bigint, id text)
    LANGUAGE sql SECURITY DEFINER AS $$ SELECT s.version, s.payload_limit, s.id FROM @.setting s $$;

-- Returns whether it is the caller's turn to call expire() until there is no more.
CREATE FUNCTION @.reap() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE s @.setting; w @.worker; v_here int[]; v_lost timestamptz; v_late timestamptz; v_how text;
BEGIN
    -- One at a time; a lock that others could take as well would let them keep everybody from looking.
    SELECT * INTO s FROM @.setting FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN RETURN false; END IF;
    IF s.server_started IS DISTINCT FROM pg_postmaster_start_time() OR NOT EXISTS (SELECT FROM @.alive)
        OR abs(extract(epoch FROM clock_timestamp() - s.reaped_at)) > 10 THEN
        -- The server was away, or nobody has looked, or the clock was set: what the times say is worth nothing. When a
        -- process of the server is killed, all sessions end without a new start; what is left of that is that tables
        -- without a log are empty.
        INSERT INTO @.alive SELECT WHERE NOT EXISTS (SELECT FROM @.alive);
        UPDATE @.setting SET server_started = pg_postmaster_start_time(), reaped_at = clock_timestamp(),
            quiet_until = clock_timestamp() + restart_grace;
        UPDATE @.worker SET seen_at = clock_timestamp(), lost_at = NULL, late_at = NULL WHERE state < 2;
        RETURN false;
    END IF;
    IF clock_timestamp() - s.reaped_at > interval '1 second' OR clock_timestamp() < s.reaped_at THEN
        UPDATE @.setting SET reaped_at = clock_timestamp();
    END IF;
    IF s.quiet_until > clock_timestamp() AND s.quiet_until <= clock_timestamp() + s.restart_grace THEN
        RETURN false;
    END IF;
    v_here := @.sessions();
    -- A row that somebody holds is that of a worker in the middle of a step.
    FOR w IN SELECT * FROM @.worker WHERE state < 2 AND (lost_at IS NOT NULL OR late_at IS NOT NULL
        OR epoch <> ALL (v_here) OR seen_at + lease < clock_timestamp()) ORDER BY epoch FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            v_lost := CASE WHEN w.epoch <> ALL (v_here) THEN coalesce(w.lost_at, clock_timestamp()) END;
            -- A lease that is over is looked at twice: when the clock was set forward, the worker renews it meanwhile.
            v_late := CASE WHEN w.seen_at + w.lease < clock_timestamp() THEN coalesce(w.late_at, clock_timestamp()) END;
            v_how := CASE WHEN v_lost + s.session_grace <= clock_timestamp() THEN 'session'
                WHEN v_late + w.lease * 0.4 <= clock_timestamp() THEN 'lease' END;
            IF v_how IS NOT NULL THEN
                UPDATE @.worker SET state = 3, why = v_how WHERE epoch = w.epoch;
                PERFORM @.bury(w, v_how);
            ELSIF v_lost IS DISTINCT FROM w.lost_at OR v_late IS DISTINCT FROM w.late_at THEN
                UPDATE @.worker SET lost_at = v_lost, late_at = v_late WHERE epoch = w.epoch;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'muster: worker % is looked at again later: %', w.epoch, SQLERRM;
        END;
    END LOOP;
    IF abs(extract(epoch FROM clock_timestamp() - s.purged_at)) <= 10 THEN RETURN false; END IF;
    UPDATE @.setting SET purged_at = clock_timestamp();
    RETURN true;
END $$;

-- Outcomes whose time is up lose what they hold; their keys are remembered for longer, so that none starts again. Returns
-- whether there is more than one step should do.
CREATE FUNCTION @.expire(p_most int) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE v_most int := least(greatest(p_most, 1), 10000); v_expired bigint; v_gone bigint;
BEGIN
    UPDATE @.call SET state = 3, answer = NULL WHERE key IN (SELECT key FROM @.call
        WHERE state = 2 AND expires_at < now() ORDER BY expires_at LIMIT v_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_expired = ROW_COUNT;
    DELETE FROM @.call WHERE key IN (SELECT c.key FROM @.call c
        WHERE c.state = 3 AND c.expires_at < (SELECT now() - s.remember FROM @.setting s)
        ORDER BY c.expires_at LIMIT v_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    DELETE FROM @.worker WHERE state >= 2 AND seen_at < now() - interval '1 day';
    RETURN v_expired = v_most OR v_gone = v_most;
END $$;

CREATE FUNCTION @.figures() RETURNS TABLE (name text, value bigint) LANGUAGE sql SECURITY DEFINER AS $$
    SELECT 'queued', count(*) FROM @.call WHERE state = 0 AND (NOT delayed OR due_at <= now())
    UNION ALL SELECT 'delayed', count(*) FROM @.call WHERE state = 0 AND delayed AND due_at > now()
    UNION ALL SELECT 'running', count(*) FROM @.call WHERE state = 1
    UNION ALL SELECT 'answered', count(*) FROM @.call WHERE state = 2 AND how = 'answer'
    UNION ALL SELECT 'cancelled', count(*) FROM @.call WHERE state = 2 AND how = 'cancelled'
    UNION ALL SELECT 'worker died', count(*) FROM @.call WHERE state = 2 AND how IN ('session', 'lease', 'left')
    UNION ALL SELECT 'expired', count(*) FROM @.call WHERE state = 3
    UNION ALL SELECT 'oldest', greatest(coalesce(extract(epoch FROM now() - min(due_at)), 0), 0)::bigint
        FROM @.call WHERE state = 0 AND (NOT delayed OR due_at <= now())
    UNION ALL SELECT 'limit', queue_limit FROM @.setting $$;

CREATE FUNCTION @.workers() RETURNS TABLE (epoch int, host text, process int, slots int, running bigint, seen bigint,
    state text) LANGUAGE sql SECURITY DEFINER AS $$
    SELECT w.epoch, w.host, w.process, w.slots, (SELECT count(*) FROM @.call c WHERE c.epoch = w.epoch AND c.state = 1),
        extract(epoch FROM now() - w.seen_at)::bigint,
        CASE w.state WHEN 0 THEN 'serves' WHEN 1 THEN 'drains' WHEN 2 THEN 'left' ELSE 'died: ' || w.why END
    FROM @.worker w WHERE w.state < 2 OR w.seen_at > now() - interval '1 hour' ORDER BY w.epoch $$;

-- ---- for clients ----

-- Verdicts: 'taken', also if it was taken before; 'ended'; 'full'; 'other' call; 'expired'; 'large'.
CREATE FUNCTION @.submit(p_client text, p_keys uuid[], p_functions text[], p_signatures text[], p_payloads bytea[],
    p_priorities int[], p_delays bigint[], p_starts int[], p_keeps bigint[])
    RETURNS TABLE (key uuid, verdict text) LANGUAGE plpgsql SECURITY DEFINER AS $$
#variable_conflict use_column
DECLARE s @.setting; v_room bigint; v_added bigint;
BEGIN
    -- Whoever ends a call writes to the channel of its client, and a name that is no channel would fail that.
    IF p_client IS NULL OR octet_length(p_client) NOT BETWEEN 1 AND 32 THEN
        RAISE EXCEPTION 'the name of a client has 1 to 32 bytes' USING ERRCODE = '22023';
    END IF;
    SELECT * INTO s FROM @.setting;
    IF s.queue_limit > 0 THEN
        SELECT greatest(s.queue_limit - sum(l.queued), 0) INTO v_room FROM @.load l;
    END IF;
    WITH fresh AS (
        SELECT g.* FROM unnest(p_keys, p_functions, p_signatures, p_payloads, p_priorities, p_delays, p_starts, p_keeps)
            WITH ORDINALITY AS g(key, function, signature, payload, priority, delay, starts, keep, place)
        WHERE length(g.payload) <= s.payload_limit AND octet_length(g.function) + octet_length(g.signature) <= 65536
            AND NOT EXISTS (SELECT FROM @.call c WHERE c.key = g.key)
        ORDER BY g.place LIMIT v_room),
    added AS (
        INSERT INTO @.call (key, function, signature, digest, payload, priority, due_at, delayed, starts, keep, client)
        SELECT f.key, f.function, f.signature, sha256(f.payload), f.payload, f.priority,
            -- A time that no timestamp holds would fail whoever ends the call: 100 years are as good as for ever. A
            -- call that was due before it was submitted would come before those that wait already.
            now() + greatest(least(f.delay, 3155760000000), 0) * interval '1 millisecond', f.delay > 0,
            greatest(f.starts, 1), greatest(least(f.keep, 3155760000), 0) * interval '1 second', p_client
        FROM fresh f ORDER BY f.place
        ON CONFLICT (key) DO NOTHING RETURNING 1)
    SELECT count(*) INTO v_added FROM added;
    IF v_added > 0 THEN
        PERFORM @.count_queued(v_added);
        PERFORM pg_notify('@_work', '');
    END IF;
    -- A client that has come back hears of its calls from now on.
    UPDATE @.call c SET client = p_client WHERE c.key = ANY (p_keys) AND c.state < 2 AND c.client <> p_client;
    RETURN QUERY SELECT g.key, CASE
        WHEN c.key IS NULL AND (length(g.payload) > s.payload_limit
            OR octet_length(g.function) + octet_length(g.signature) > 65536) THEN 'large'
        WHEN c.key IS NULL THEN 'full'
        WHEN c.function <> g.function OR c.signature <> g.signature OR c.digest <> sha256(g.payload) THEN 'other'
        WHEN c.state = 3 THEN 'expired'
        WHEN c.state = 2 THEN 'ended'
        ELSE 'taken' END
    FROM unnest(p_keys, p_functions, p_signatures, p_payloads) AS g(key, function, signature, payload)
        LEFT JOIN @.call c ON c.key = g.key;
END $$;

-- The calls that have ended, or are not known. Answers of more than p_bytes together are for another time: what is left
-- out has `later`.
CREATE FUNCTION @.fetch(p_keys uuid[], p_bytes bigint) RETURNS TABLE (key uuid, state int, how text, answer bytea,
    host text, process int, later boolean) LANGUAGE plpgsql SECURITY DEFINER AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT e.key, e.state, e.how, CASE WHEN e.before < p_bytes THEN e.answer END, e.host, e.process, e.before >= p_bytes
    FROM (SELECT k.key, coalesce(c.state, -1)::int AS state, coalesce(c.how, '') AS how, c.answer,
            coalesce(c.host, '') AS host, coalesce(c.process, 0) AS process,
            coalesce(sum(octet_length(c.answer)) OVER (ORDER BY k.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                0) AS before
        FROM unnest(p_keys) WITH ORDINALITY AS k(key, place) LEFT JOIN @.call c ON c.key = k.key
        WHERE c.state IS NULL OR c.state >= 2) e;
END $$;

CREATE FUNCTION @.cancel(p_keys uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE v_ended bigint; v_clients text[]; v_ended_keys uuid[]; v_epochs int[];
BEGIN
    -- A call that is being handed back is waited for, or neither of the two statements below would see it.
    PERFORM 1 FROM @.call WHERE key = ANY (p_keys) AND state < 2 ORDER BY key FOR UPDATE;
    WITH ended AS (UPDATE @.call SET state = 2, how = 'cancelled', payload = '', ended_at = now(), expires_at = now() + keep
        WHERE key = ANY (p_keys) AND state = 0 RETURNING client, key)
    SELECT count(*), array_agg(client), array_agg(key) INTO v_ended, v_clients, v_ended_keys FROM ended;
    IF v_ended > 0 THEN
        PERFORM @.count_queued(-v_ended);
        PERFORM @.tell_clients(v_clients, v_ended_keys);
    END IF;
    WITH told AS (UPDATE @.call SET stop = true WHERE key = ANY (p_keys) AND state = 1 RETURNING epoch)
    SELECT array_agg(DISTINCT epoch) INTO v_epochs FROM told;
    PERFORM pg_notify('@_worker_' || e, '') FROM unnest(v_epochs) AS e;
END $$;

-- Those of the functions that no worker serves, and why.
CREATE FUNCTION @.unserved(p_functions text[], p_signatures text[]) RETURNS TABLE (function text, why text)
    LANGUAGE sql SECURITY DEFINER AS $$
    SELECT g.function, CASE
        WHEN NOT EXISTS (SELECT FROM @.worker w WHERE w.state = 0) THEN 'no worker is there'
        WHEN EXISTS (SELECT FROM @.worker w WHERE w.state = 0 AND g.function = ANY (w.functions))
            THEN 'the workers that have a function of this name take other arguments, or return something else'
        ELSE 'none of the workers has it' END
    FROM unnest(p_functions, p_signatures) AS g(function, signature)
    WHERE NOT EXISTS (SELECT FROM @.worker w, unnest(w.functions, w.signatures) AS o(function, signature)
        WHERE w.state = 0 AND o.function = g.function AND o.signature = g.signature) $$;

-- ---- for workers: known by an epoch, and for each connection by a session ----

-- Returns the epoch of a new worker, whose session is 1. Whoever comes back as this worker has to know its secret. Every
-- client and worker adds the lease to a time, and reads the names: neither may be more than they can take.
CREATE FUNCTION @.announce(p_host text, p_process int, p_slots int, p_lease bigint, p_functions text[],
    p_signatures text[], p_secret text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE v_epoch int;
BEGIN
    IF octet_length(p_secret) < 32 OR pg_column_size(p_functions) + pg_column_size(p_signatures) > 16777216 THEN
        RAISE EXCEPTION 'a worker has a secret of 32 bytes, and names of 16 MiB at most' USING ERRCODE = '22023';
    END IF;
    INSERT INTO @.worker (host, process, slots, lease, functions, signatures, session, backend, secret)
        VALUES (left(p_host, 256), p_process, p_slots,
            least(greatest(p_lease, 0), 31557600000) * interval '1 millisecond', p_functions, p_signatures, 1,
            pg_backend_pid(), sha256(convert_to(p_secret, 'UTF8')))
        RETURNING epoch INTO v_epoch;
    -- A shared lock: a session that the server still takes for alive does not keep its worker from coming back.
    PERFORM pg_advisory_lock_shared(@.lock_class(), v_epoch);
    RETURN v_epoch;
END $$;

-- A worker has lost its session and comes back; it numbers its sessions itself, each higher than those before. Returns
-- false if it was taken for dead. From here on its old sessions can do nothing any more; what they were doing has been
-- waited for.
CREATE FUNCTION @.resume(p_epoch int, p_session int, p_secret text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE @.worker SET seen_at = clock_timestamp(), lost_at = NULL, late_at = NULL, session = p_session,
        backend = pg_backend_pid() WHERE epoch = p_epoch AND state < 2 AND session < p_session
        AND secret = sha256(convert_to(p_secret, 'UTF8'));
    IF NOT FOUND THEN
        PERFORM @.enter(p_epoch, p_session);
        RETURN false;
    END IF;
    PERFORM pg_advisory_lock_shared(@.lock_class(), p_epoch);
    RETURN true;
END $$;

CREATE FUNCTION @.held(p_epoch int, p_session int) RETURNS TABLE (key uuid, claim int)
    LANGUAGE plpgsql SECURITY DEFINER AS $$
#variable_conflict use_column
BEGIN
    PERFORM @.enter(p_epoch, p_session);
    RETURN QUERY SELECT c.key, c.claim FROM @.call c WHERE c.epoch = p_epoch AND c.state = 1;
END $$;

-- One step of a worker: renews its lease, takes answers, and gives it calls: p_want at most, and no more once their
-- payloads have p_bytes. The kinds of rows: 'call', 'stop', 'fenced'. A claim has a number that only grows, also when the
-- call is handed back: what belongs to an earlier claim is never taken for part of this one.
CREATE FUNCTION @.exchange(p_epoch int, p_session int, p_keys uuid[], p_claims int[], p_answers bytea[], p_want int,
    p_bytes bigint) RETURNS TABLE (kind text, key uuid, claim int, function text, payload bytea)
    LANGUAGE plpgsql SECURITY DEFINER AS $$
#variable_conflict use_column
DECLARE v_clients text[]; v_ended uuid[]; w @.worker; v_claimed bigint;
BEGIN
    w := @.enter(p_epoch, p_session);
    IF w.epoch IS NULL THEN
        RETURN QUERY SELECT 'fenced', NULL::uuid, 0, ''::text, NULL::bytea;
        RETURN;
    END IF;
    IF cardinality(p_keys) > 0 THEN
        -- Clients fetch it whole. What tells that a result is too large is no larger than the second number.
        IF EXISTS (SELECT FROM unnest(p_answers) a, @.setting s
            WHERE octet_length(a) > greatest(s.payload_limit, 65536)) THEN
            RAISE EXCEPTION 'the answer is larger than the payload limit of the queue' USING ERRCODE = '22023';
        END IF;
        WITH ended AS (
            UPDATE @.call c SET state = 2, how = 'answer', answer = g.answer, payload = '', ended_at = now(),
                expires_at = now() + c.keep
            FROM unnest(p_keys, p_claims, p_answers) AS g(key, claim, answer)
            WHERE c.key = g.key AND c.state = 1 AND c.epoch = p_epoch AND c.claim = g.claim
            RETURNING c.client, c.key)
        SELECT array_agg(client), array_agg(key) INTO v_clients, v_ended FROM ended;
        IF v_ended IS NOT NULL THEN PERFORM @.tell_clients(v_clients, v_ended); END IF;
    END IF;
    IF p_want > 0 AND w.state = 0 THEN
        RETURN QUERY WITH next AS (
            SELECT c.key, c.priority, c.due_at, c.number, octet_length(c.payload) AS size FROM @.call c
            -- The clock may have been set back since the submission: only what was to wait waits for it.
            WHERE c.state = 0 AND (NOT c.delayed OR c.due_at <= now())
                AND (c.function, c.signature) IN (SELECT * FROM unnest(w.functions, w.signatures))
            ORDER BY c.priority DESC, c.due_at, c.number LIMIT p_want FOR UPDATE OF c SKIP LOCKED),
        sized AS (
            SELECT n.key, row_number() OVER up_to AS place, sum(n.size) OVER up_to - n.size AS before FROM next n
            WINDOW up_to AS (ORDER BY n.priority DESC, n.due_at, n.number ROWS UNBOUNDED PRECEDING)),
        claimed AS (
            UPDATE @.call c SET state = 1, epoch = p_epoch, attempt = c.attempt + 1, claim = c.claim + 1, begun_at = now()
            FROM sized s WHERE c.key = s.key AND s.before < p_bytes
            RETURNING s.place, c.key, c.claim, c.function, c.payload)
        SELECT 'call', c.key, c.claim, c.function, c.payload FROM claimed c ORDER BY c.place;
        GET DIAGNOSTICS v_claimed = ROW_COUNT;
        IF v_claimed > 0 THEN PERFORM @.count_queued(-v_claimed); END IF;
    END IF;
    RETURN QUERY SELECT 'stop', c.key, c.claim, ''::text, NULL::bytea FROM @.call c
        WHERE c.epoch = p_epoch AND c.state = 1 AND c.stop;
END $$;

-- Hands back calls that have not begun.
CREATE FUNCTION @.release(p_epoch int, p_session int, p_keys uuid[], p_claims int[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE v_back bigint; v_clients text[]; v_keys uuid[];
BEGIN
    PERFORM @.enter(p_epoch, p_session);
    WITH back AS (UPDATE @.call c SET state = 0, epoch = NULL, attempt = c.attempt - 1
        FROM unnest(p_keys, p_claims) AS g(key, claim)
        WHERE c.key = g.key AND c.claim = g.claim AND c.epoch = p_epoch AND c.state = 1 AND NOT c.stop RETURNING 1)
    SELECT count(*) INTO v_back FROM back;
    PERFORM @.count_queued(v_back);
    IF v_back > 0 THEN PERFORM pg_notify('@_work', ''); END IF;
    WITH ended AS (UPDATE @.call c SET state = 2, how = 'cancelled', payload = '', ended_at = now(),
            expires_at = now() + keep
        FROM unnest(p_keys, p_claims) AS g(key, claim)
        WHERE c.key = g.key AND c.claim = g.claim AND c.epoch = p_epoch AND c.state = 1 RETURNING c.client, c.key)
    SELECT array_agg(client), array_agg(key) INTO v_clients, v_keys FROM ended;
    IF v_keys IS NOT NULL THEN PERFORM @.tell_clients(v_clients, v_keys); END IF;
    RETURN v_back;
END $$;

CREATE FUNCTION @.drain(p_epoch int, p_session int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM @.enter(p_epoch, p_session);
    UPDATE @.worker SET state = 1 WHERE epoch = p_epoch AND state = 0;
END $$;

CREATE FUNCTION @.leave(p_epoch int, p_session int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE w @.worker;
BEGIN
    w := @.enter(p_epoch, p_session);
    IF w.epoch IS NOT NULL THEN
        UPDATE @.worker SET state = 2 WHERE epoch = p_epoch;
        PERFORM @.bury(w, 'left');
    END IF;
    PERFORM pg_advisory_unlock_shared(@.lock_class(), p_epoch);
END $$;

DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = '@'
    LOOP
        EXECUTE 'ALTER FUNCTION ' || f || ' SET search_path = pg_catalog, pg_temp';
        EXECUTE 'REVOKE ALL ON FUNCTION ' || f || ' FROM PUBLIC';
    END LOOP;
END $$;
REVOKE ALL ON SCHEMA @ FROM PUBLIC;
GRANT USAGE ON SCHEMA @ TO @_client, @_worker;
GRANT EXECUTE ON FUNCTION @.terms(), @.reap(), @.expire(int), @.figures(), @.workers() TO @_client, @_worker;
GRANT EXECUTE ON FUNCTION @.submit(text, uuid[], text[], text[], bytea[], int[], bigint[], int[], bigint[]),
    @.fetch(uuid[], bigint), @.cancel(uuid[]), @.unserved(text[], text[]) TO @_client;
GRANT EXECUTE ON FUNCTION @.announce(text, int, int, bigint, text[], text[], text), @.resume(int, int, text), @.held(int, int),
    @.exchange(int, int, uuid[], int[], bytea[], int, bigint), @.release(int, int, uuid[], int[]), @.drain(int, int),
    @.leave(int, int) TO @_worker;
)sql";

constexpr std::string_view both_roles = R"sql(
DO $$ DECLARE r text; BEGIN
    FOREACH r IN ARRAY ARRAY['@_client', '@_worker'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN EXECUTE 'CREATE ROLE ' || r || ' NOLOGIN'; END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            -- Roles are those of all databases of the server: another one has made it just now.
            NULL;
        END;
    END LOOP;
END $$;
)sql";

std::string with_name(std::string_view text, std::string_view name) {
    std::string result;
    for (const char c : text) {
        if (c == '@')
            result += name;
        else
            result += c;
    }
    return result;
}

} // namespace

/// The channel on which a client hears of its calls is the name, an underscore and 32 letters; PostgreSQL takes 63.
constexpr std::size_t longest_name = 30;

void expect_name(std::string_view name) {
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
    const auto is_fine = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
    if (name.empty() || name.size() > longest_name || !is_letter(name.front()) ||
        !std::all_of(name.begin(), name.end(), is_fine) || name.starts_with("pg_"))
        throw std::invalid_argument(
            "the name of a queue's schema has lower-case letters, digits and underscores, 30 at "
            "most, begins with no digit and not with \"pg_\"");
}

void expect_version(std::int64_t found, std::string_view name) {
    if (found == version)
        return;
    const auto queue = "the queue in the schema \"" + std::string(name) + "\" is of version " + std::to_string(found);
    if (found > version)
        throw unreachable_error(queue + ", and this program knows version " + std::to_string(version) +
                                " and those before it: use the newer program");
    throw unreachable_error(queue + ", and this program needs version " + std::to_string(version) +
                            ": run `muster queue init` once, with the same --on and --schema (in a program: "
                            "postgres::init), as whoever has made the queue. What is in the queue stays");
}

bool says_that_none_is_there(const database_error& e) noexcept {
    // An unknown schema, or an unknown function in it.
    return e.state() == "3F000" || e.state() == "42883";
}

void throw_that_none_is_there(std::string_view name) {
    throw unreachable_error("the database has no queue in the schema \"" + std::string(name) +
                            "\": make one with `muster queue init`, or postgres::init()");
}

std::string migration(int to, std::string_view name) {
    MUSTER_ASSERT(to >= 1 && to <= version);
    constexpr std::array all{tables_1, tables_2, tables_3, tables_4, tables_5};
    static_assert(all.size() == version);
    const auto& tables = all.at(static_cast<std::size_t>(to) - 1);
    return with_name(tables, name) + with_name("UPDATE @.setting SET version = ", name) + std::to_string(to) + ";\n";
}

std::string functions(std::string_view name) { return with_name(all_functions, name); }

std::string roles(std::string_view name) { return with_name(both_roles, name); }

} // namespace muster::postgres::schema
