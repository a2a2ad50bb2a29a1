"""Writes the Parquet files beside it and their rows as JSON: python golden.py (pyarrow 26.0.1, datasets 5.2.0)."""
import datetime, decimal, json, pathlib
import datasets
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
UTC = datetime.timezone.utc


def jsonl(name, rows):
    (HERE / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


# Conversations, as the datasets library writes them: fields that some rows lack become nulls of a struct.
call = {"type": "function", "function": {"name": "getWeather", "arguments": {"city": "Oslo", "days": 2}}}
chats = [
    {"messages": [{"role": "user", "content": "Weather in Oslo? ☀"},
                  {"role": "assistant", "content": "", "reasoning_content": "I must look.", "tool_calls": [call]},
                  {"role": "tool", "content": "4 °C"},
                  {"role": "assistant", "content": "4 °C."}],
     "tools": json.dumps([{"name": "getWeather", "description": "Weather", "parameters": {}}]), "id": 1},
    {"messages": [{"role": "user", "content": "Hi 🙂"}, {"role": "assistant", "content": "Hello!"}], "tools": None, "id": 2},
]
full = lambda m: {"role": m["role"], "content": m["content"], "reasoning_content": m.get("reasoning_content"),
                  "tool_calls": m.get("tool_calls")}
datasets.Dataset.from_list([{**c, "messages": [full(m) for m in c["messages"]]} for c in chats]).to_parquet(
    str(HERE / "chats.parquet"))
jsonl("chats.jsonl", chats)

# Every type that a row may have; the expected rows leave out null fields of structs.
def row(i):
    return {
        "text": f"row {i} ä☃" if i % 5 else None,
        "word": ["red", "green", "blue"][i % 3],
        "small": i - 3, "big": i << 40, "unsigned": 2**64 - 1 - i,
        "half": i / 2, "single": 0.1 * i, "yes": i % 2 == 0 if i % 7 else None,
        "day": datetime.date(1969, 12, 30) + datetime.timedelta(days=i),
        "time": datetime.time(23, 59, i % 60, 500),
        "local": datetime.datetime(1969, 12, 31, 23, 59, 59) + datetime.timedelta(milliseconds=500 * i),
        "utc": datetime.datetime(2026, 11, 26, 1, 2, 3, i, UTC),
        "money": decimal.Decimal(i * 100 - 250).scaleb(-2),
        "names": None if i % 4 == 3 else [f"n{j}" if j else None for j in range(i % 4)],
        "grid": [[i, i + 1], [], [i]],
        "point": {"x": i, "tag": None if i % 2 else "even", "deep": {"list": [{"a": i}, {"a": None}]}},
        "map": [("k", i), ("l", None)] if i % 3 else [],
        "raw": bytes([i, 255]),
    }

SCHEMA = pa.schema([
    ("text", pa.string()), ("word", pa.string()), ("small", pa.int8()), ("big", pa.int64()), ("unsigned", pa.uint64()),
    ("half", pa.float64()), ("single", pa.float32()), ("yes", pa.bool_()), ("day", pa.date32()), ("time", pa.time64("us")),
    ("local", pa.timestamp("ms")), ("utc", pa.timestamp("us", tz="UTC")), ("money", pa.decimal128(9, 2)),
    ("names", pa.list_(pa.string())), ("grid", pa.list_(pa.list_(pa.int32()))),
    ("point", pa.struct([("x", pa.int32()), ("tag", pa.string()),
                         ("deep", pa.struct([("list", pa.list_(pa.struct([("a", pa.int16())])))]))])),
    ("map", pa.map_(pa.string(), pa.int32())), ("raw", pa.binary())])


def plain(value):
    """A value as ParquetRows gives it; a list of pairs is a map, and null fields of structs are gone."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return dict(value) if value and isinstance(value[0], tuple) else [plain(v) for v in value]
    if isinstance(value, datetime.datetime):
        spec = "microseconds" if value.microsecond % 1000 else "milliseconds" if value.microsecond else "seconds"
        return value.replace(tzinfo=None).isoformat(timespec=spec) + ("Z" if value.tzinfo else "")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return value if not isinstance(value, decimal.Decimal) else {"decimal": str(value)}


rows = [row(i) for i in range(20)]
table = pa.Table.from_pylist(rows, SCHEMA)
expected = []
for r in rows:
    e = {k: plain(v) for k, v in r.items()}
    e["map"] = dict(r["map"])
    e["single"] = float(str(table.column("single").type.to_pandas_dtype()(r["single"])))
    expected.append(e)
jsonl("types.jsonl", expected)

for codec in ["none", "snappy", "gzip", "zstd", "lz4"]:
    for version in ["1.0", "2.0"]:
        pq.write_table(table, HERE / f"types-{codec}-v{version[0]}.parquet", compression=codec, data_page_version=version,
                       row_group_size=13, data_page_size=64, write_batch_size=4, write_page_checksum=version == "2.0",
                       store_schema=False)
PLAIN = {"text": "DELTA_BYTE_ARRAY", "word": "DELTA_LENGTH_BYTE_ARRAY", "small": "DELTA_BINARY_PACKED",
         "big": "DELTA_BINARY_PACKED", "half": "BYTE_STREAM_SPLIT", "yes": "RLE"}
pq.write_table(table, HERE / "types-encodings.parquet", use_dictionary=False, column_encoding=PLAIN, data_page_version="2.0",
               store_schema=False)
pq.write_table(table.select(["utc"]).slice(0, 2), HERE / "int96.parquet", use_deprecated_int96_timestamps=True)
pq.write_table(table.select(["text"]).slice(0, 2), HERE / "brotli.parquet", compression="brotli")
pq.write_table(table.select(["text"]).slice(0, 0), HERE / "empty.parquet")
# a page of next to nothing that unfolds to more than any page may
bomb = pa.table({"text": ["a" * (80 << 20)]})
pq.write_table(bomb, HERE / "bomb.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
