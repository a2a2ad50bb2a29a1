"""Writes the golden event file beside it: python golden.py (tensorboard 2.21)."""
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter

text = "```yaml\nbase_model: größe\nlearning_rate: 2e-4\n```"
dim = TensorShapeProto.Dim(size=1)
tensor = TensorProto(dtype=7, tensor_shape=TensorShapeProto(dim=[dim]), string_val=[text.encode()])
meta = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
step = [("train/loss", 1.25), ("train/learning_rate", 2e-4), ("train/grad_norm", float("nan")), ("train/tokens_per_second", 1234.5)]
events = [
    Event(wall_time=1700000000.25, file_version="brain.Event:2"),
    Event(wall_time=1700000000.25, step=8, session_log=SessionLog(status=SessionLog.START)),
    Event(wall_time=1700000000.25, step=7, summary=Summary(value=[Summary.Value(tag="recipe/text_summary", tensor=tensor, metadata=meta)])),
    Event(wall_time=1700000000.25, step=300, summary=Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in step])),
    Event(wall_time=1700000000.25, step=300, summary=Summary(value=[Summary.Value(tag="eval/loss", simple_value=0.5)])),
]
with open("golden.tfevents", "wb") as f:
    writer = RecordWriter(f)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
