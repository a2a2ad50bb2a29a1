"""Writes the golden event file beside it: python golden.py (tensorboard 2.21)."""
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter


def text_value(tag, text):
    dim = TensorShapeProto.Dim(size=1)
    tensor = TensorProto(dtype=7, tensor_shape=TensorShapeProto(dim=[dim]), string_val=[text.encode()])
    meta = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary.Value(tag=tag + "/text_summary", tensor=tensor, metadata=meta)


def histogram(values, limits, counts):
    return HistogramProto(
        min=min(values), max=max(values), num=len(values), sum=sum(values),
        sum_squares=sum(v * v for v in values), bucket_limit=limits, bucket=counts)


text = "```yaml\nbase_model: größe\nlearning_rate: 2e-4\n```"
step = [("train/loss", 1.25), ("train/learning_rate", 2e-4), ("train/grad_norm", float("nan")), ("train/tokens_per_second", 1234.5)]
limits = [0.25 + 1.5 * (i + 1) / 30 for i in range(29)] + [1.75]
answer = (
    "**request**\n\n```\nröd?\n```\n\n**expected**\n\n````\n```red```\n````"
    "\n\n**answer, wrong**\n\n```\n</script>\n```")
events = [
    Event(wall_time=1700000000.25, file_version="brain.Event:2"),
    Event(wall_time=1700000000.25, step=8, session_log=SessionLog(status=SessionLog.START)),
    Event(wall_time=1700000000.25, step=7, summary=Summary(value=[text_value("recipe", text)])),
    Event(wall_time=1700000000.25, step=300, summary=Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in step])),
    Event(wall_time=1700000000.25, step=300, summary=Summary(value=[Summary.Value(tag="eval/loss", simple_value=0.5)])),
    # 0.25 and 1.75 in 30 buckets of 0.05
    Event(wall_time=1700000000.25, step=300, summary=Summary(value=[
        Summary.Value(tag="lora/update_norm", histo=histogram([0.25, 1.75], limits, [1.0] + [0.0] * 28 + [1.0])),
        Summary.Value(tag="lora/update_norm/k_proj", histo=histogram([1.75], [1.75], [1.0])),
        Summary.Value(tag="lora/update_norm/q_proj", histo=histogram([0.25], [0.25], [1.0])),
    ])),
    Event(wall_time=1700000000.25, step=300, summary=Summary(value=[text_value("answers/1", answer)])),
]
with open("golden.tfevents", "wb") as f:
    writer = RecordWriter(f)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
