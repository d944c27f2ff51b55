"""The binary as a new user meets it: verbs, exit codes, errors with a fix, orderly stop, second process."""

import json
import os
import subprocess

from broker import Broker, binary


def test_a_record_goes_in_and_comes_out(broker):
    made = broker.cli("produce", "hello", '{"px":101.5}')
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("hello/0@0 acknowledged in ")
    read = broker.cli("consume", "hello", "-o", "start", "-n", "1")
    assert read.stdout == '{"px":101.5}\n', read.stderr


def test_topics_are_created_listed_described_altered_and_deleted(broker):
    assert broker.cli("topic", "create", "t", "-p", "3", "-c", "retention.ms=60000").returncode == 0
    assert broker.cli("topic", "create", "t").returncode == 1, "it exists"
    assert broker.cli("topic", "create", "t", "--if-not-exists").returncode == 0
    listed = json.loads(broker.cli("topic", "list", "--output", "json").stdout)
    assert listed == [{"name": "t", "partitions": 3, "replicas": 1, "internal": False}]
    shown = json.loads(broker.cli("topic", "describe", "t", "--output", "json").stdout)
    configs = {row["config"]: row for row in shown["configs"]}
    assert configs["retention.ms"]["value"] == "60000" and configs["retention.ms"]["source"] == "topic"
    assert configs["rapidmq.durability"]["value"] == "disk"
    assert len(shown["partitions"]) == 3
    assert broker.cli("topic", "alter", "t", "-p", "5", "--unset", "retention.ms").returncode == 0
    shown = json.loads(broker.cli("topic", "describe", "t", "--output", "json").stdout)
    assert len(shown["partitions"]) == 5
    bad = broker.cli("topic", "alter", "t", "--set", "retention.ms=soon")
    assert bad.returncode == 2 and "fix" not in bad.stdout and "INVALID_CONFIG" in bad.stderr
    assert broker.cli("topic", "delete", "t").returncode == 0
    gone = broker.cli("topic", "describe", "t")
    assert gone.returncode == 3 and "fix:" in gone.stderr


def test_cat_speaks_the_flags_of_kcat(broker):
    def cat(*args, stdin=None):
        command = [binary(), "cat", "-b", broker.address, *args]
        return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60)

    assert cat("-P", "-t", "c", "-K", ":", "-z", "zstd", "-H", "a=1", stdin="k1:v1\nk2:v2\n").returncode == 0
    assert cat("-C", "-t", "c", "-e", "-q", "-f", "%k=%s %h %o\n").stdout == "k1=v1 a=1 0\nk2=v2 a=1 1\n"
    envelope = json.loads(cat("-C", "-t", "c", "-e", "-q", "-J", "-c", "1").stdout)
    assert (envelope["key"], envelope["payload"], envelope["headers"]) == ("k1", "v1", ["a", "1"])
    assert cat("-C", "-t", "c", "-e", "-q", "-o", "-1").stdout == "v2\n"
    assert cat("-Q", "-t", "c:0:-1").stdout == "c [0] offset 2\n"
    assert "1 brokers" in cat("-L").stdout
    ours = subprocess.run(["kcat", "-b", broker.address, "-C", "-t", "c", "-e", "-q"], capture_output=True)
    assert ours.stdout == b"v1\nv2\n"


def test_errors_say_what_why_and_how_to_fix_it(broker, tmp_path):
    def run(*args):
        return subprocess.run([binary(), *args], capture_output=True, text=True, timeout=60)

    nobody = run("topic", "list", "--bootstrap", "127.0.0.1:1")
    assert nobody.returncode == 5 and "why:" in nobody.stderr and "fix:" in nobody.stderr
    assert run("topic", "list", "--bootstrap", "nonsense").returncode == 2
    assert run("serve", "--set", "topic.num-partition=3").returncode == 2
    bad = tmp_path / "rapidmq.toml"
    bad.write_text("kafka-lisen = '127.0.0.1:0'\n")
    unknown = run("serve", "-c", str(bad))
    assert unknown.returncode == 2 and "did you mean `kafka-listen`" in unknown.stderr
    second = run("serve", "--data-dir", str(broker.data), "--kafka-listen", "127.0.0.1:0", "--cores", "2")
    assert second.returncode != 0 and "fix:" in second.stderr, second.stderr
    assert run("check", str(broker.data)).returncode != 0, "in use"
    taken = run("serve", "--data-dir", str(tmp_path / "other"), "--kafka-listen", broker.address)
    assert taken.returncode == 5 or taken.returncode == 1
    assert "fix:" in taken.stderr, taken.stderr


def test_an_orderly_stop_leaves_a_clean_directory_and_a_quick_start(broker):
    broker.cli("produce", "t", "a", "b", "c")
    broker.stop()
    code, report = broker.check()
    assert code == 0, report
    broker.start()
    assert broker.cli("consume", "t", "-o", "start", "--exit").stdout == "a\nb\nc\n"


def test_a_directory_of_a_newer_format_or_other_core_count_is_refused(tmp_path):
    with Broker(tmp_path / "data") as broker:
        broker.cli("produce", "t", "a")
        broker.stop()
    command = [binary(), "serve", "--data-dir", str(tmp_path / "data"), "--kafka-listen", "127.0.0.1:0"]
    other = subprocess.run([*command, "--cores", "3"], capture_output=True, text=True, timeout=60)
    assert other.returncode != 0 and "--cores 2" in other.stderr, other.stderr
    for slot in ("superblock.a", "superblock.b"):
        path = tmp_path / "data" / slot
        if path.exists():
            data = bytearray(path.read_bytes())
            data[8] = 99
            path.write_bytes(data)
    newer = subprocess.run([*command, "--cores", "2"], capture_output=True, text=True, timeout=60)
    assert newer.returncode != 0 and "99" in newer.stderr, newer.stderr


def test_memory_durability_is_a_topic_setting_and_is_shown_as_what_it_is(broker):
    made = broker.cli("topic", "create", "m", "-c", "rapidmq.durability=memory")
    assert made.returncode == 0, made.stderr
    assert broker.cli("produce", "m", "x").returncode == 0
    assert broker.cli("consume", "m", "-o", "start", "--exit").stdout == "x\n"
    shown = json.loads(broker.cli("topic", "describe", "m", "--output", "json").stdout)
    configs = {row["config"]: row["value"] for row in shown["configs"]}
    assert configs["rapidmq.durability"] == "memory"
    assert broker.cli("topic", "create", "n", "-c", "rapidmq.durability=maybe").returncode == 2


def test_doctor_finds_this_machine_fit(tmp_path):
    done = subprocess.run([binary(), "doctor", str(tmp_path), "--output", "json"], capture_output=True, text=True)
    findings = {row["check"]: row["verdict"] for row in json.loads(done.stdout)}
    assert findings["io_uring"] == "ok" and findings["O_DIRECT"] == "ok"
    assert os.listdir(tmp_path) == []


def test_a_directory_whose_metadata_log_is_gone_is_refused_and_not_started_empty(broker):
    assert broker.cli("produce", "kept", "a record").returncode == 0
    broker.stop()
    log, aside = broker.data / "raft", broker.data.parent / "aside"
    log.rename(aside)
    code, report = broker.check()
    assert code == 1 and "metadata log is missing" in report, report
    done = subprocess.run([binary(), "serve", "--data-dir", str(broker.data), "--kafka-listen", "127.0.0.1:0"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "raft/ is gone" in done.stderr, done.stderr
    aside.rename(log)
    broker.start()
    assert "a record" in broker.cli("consume", "kept", "-o", "start", "-n", "1").stdout


def test_a_ramp_whose_broker_goes_away_says_what_it_measured(broker, tmp_path):
    report = tmp_path / "steps.json"
    command = [binary(), "bench", "capacity", "-b", broker.address, "--duration", "300ms", "--warmup", "100ms"]
    command += ["--output", "json", "--report", str(report)]
    ramp = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [ramp.stderr.readline(), ramp.stderr.readline()]
    assert lines[0].startswith("closed loop: ") and "requests/s answered, p50 " in lines[0], lines
    assert lines[1].startswith("25 % of it: "), lines
    broker.kill()
    out, rest = ramp.communicate(timeout=120)
    lines += rest.splitlines()
    ended = [line for line in lines if "requests/s answered" in line]
    steps = json.loads(out)
    assert len(steps) == len(ended) < 7 and [step["share"] for step in steps[:2]] == [None, 0.25]
    assert json.loads(report.read_text()) == steps
    assert ramp.returncode == 5 and "fix:" in rest
    assert f"step {len(steps) + 1} of 7," in rest, rest
