package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Low-rank updates and trained rows of embedding and output head, as functions. */
class AdaptedTablesTest extends TrainedParametersTestCase {
  private TokenEmbedding embedding(Tensor table, ParameterSet parameters) {
    TokenEmbedding embedding =
        new TokenEmbedding("embed", scope.own(new DenseWeight(table.share())), -1);
    embedding.attach(new LowRank(parameters.get("a"), parameters.get("b"), 0.75, 0.5));
    return embedding;
  }

  /** A token's row is the table's plus its column of A times B; dropout is not for embeddings. */
  @ParameterizedTest
  @CsvSource({"FLOAT32, 1", "BFLOAT16, 1", "FLOAT16, 1", "FLOAT32, 8.25", "BFLOAT16, 8.25"})
  void anEmbeddingWithALowRankUpdate(DType dtype, double scale) {
    ParameterSet parameters = parameters(shapes("a", size(4, 131), "b", size(7, 4)));
    Tensor table = scope.own(scope.own(Oracle.gaussian(21, 1, 131, 7)).to(dtype));
    TokenEmbedding embedding = embedding(table, parameters);
    int[] ids = targets(200, 131);
    ids[10] = 130;
    ids[11] = 130;
    Pass pass = new Pass(new int[] {0, ids.length}, true, 5);
    assertAgrees(
        parameters,
        (tape, in) -> tape.apply(new Embedding(embedding, ids, pass, precision(dtype), scale)),
        (in, manager) -> {
          NDArray wide = NdArrays.toNdArray(scope.own(table.to(DType.FLOAT32)), manager);
          NDArray update = in.get(1).matMul(in.get(0)).transpose().mul(NdArrays.scalar(wide, 0.75));
          return manager
              .create(ids)
              .oneHot(131)
              .matMul(wide.add(update))
              .mul(NdArrays.scalar(wide, scale));
        },
        List.of(),
        dtype);
  }

  /** As torch's padding_idx: it is looked up like others, and its row learns nothing from that. */
  @Test
  void theTokenThatFillsBatchesLearnsNothing() {
    ParameterSet parameters = parameters(shapes("a", size(2, 5), "b", size(3, 2), "w", size(5, 3)));
    int[] ids = {4, 1, 4, 2};
    LowRank update = new LowRank(parameters.get("a"), parameters.get("b"), 1, 0);
    DenseWeight trained = scope.own(new DenseWeight(parameters.get("w")));
    DenseWeight frozen = scope.own(new DenseWeight(Oracle.gaussian(1, 1, 5, 3)));
    TokenEmbedding whole = new TokenEmbedding("embed", trained, 4);
    TokenEmbedding adapted = new TokenEmbedding("embed", frozen, 4);
    adapted.attach(update);
    Pass pass = Pass.evaluating(0, ids.length);
    for (TokenEmbedding embedding : List.of(whole, adapted)) {
      Oracle.onTape(
          (tape, in) ->
              tape.apply(new Embedding(embedding, ids, pass, Precision.of(DType.FLOAT32), 1)),
          List.of(),
          DType.FLOAT32,
          9);
    }
    float[] w = parameters.get("w").grad().toFloats();
    float[] a = parameters.get("a").grad().toFloats();
    for (int token = 0; token < 5; token++) {
      boolean learns = token == 1 || token == 2;
      assertEquals(learns, w[3 * token] != 0, "row " + token);
      assertEquals(learns, a[token] != 0, "column " + token);
    }
  }

  /** Rows trained by themselves, of a table that is embedding and head at once. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void rowsOfATiedTable(DType dtype) {
    int rows = 530;
    int[] ids = {2, 3, 17};
    int[] targets = targets(rows, 21);
    int[] inputs = Arrays.copyOf(targets(rows + 5, 21), rows);
    ParameterSet parameters = parameters(shapes("rows", size(3, 6)));
    Tensor frozen = scope.own(scope.own(Oracle.gaussian(22, 1, 21, 6)).to(dtype));
    DenseWeight table = scope.own(new DenseWeight(frozen.to(dtype)));
    float[] before = table.tensor().toFloats();
    table.attach(new TrainedRows(ids, parameters.get("rows")));
    Precision precision = precision(dtype);
    assertAgrees(
        parameters,
        (tape, in) ->
            tape.apply(
                new LinearCrossEntropy(table, targets, 100, precision, work),
                tape.apply(new Embedding(table, inputs, precision))),
        (in, manager) -> {
          NDArray wide = NdArrays.toNdArray(scope.own(frozen.to(DType.FLOAT32)), manager);
          NDArray select = manager.create(ids).oneHot(21); // [3, 21]
          NDArray others =
              manager.ones(new Shape(21, 1)).sub(select.sum(new int[] {0}).reshape(21, 1));
          NDArray all = wide.mul(others).add(select.transpose().matMul(in.get(0)));
          NDArray x = manager.create(inputs).oneHot(21).matMul(all);
          return crossEntropy(x, all, targets, manager);
        },
        List.of(),
        dtype);
    table.attach((TrainedRows) null);
    assertArrayEquals(before, table.tensor().toFloats());
  }

  private Head head(Tensor weight, ParameterSet parameters, double dropout) {
    LowRank update = new LowRank(parameters.get("a"), parameters.get("b"), 0.75, dropout);
    DenseWeight frozen = scope.own(new DenseWeight(weight.share()));
    return new Head(frozen, Optional.of(update), new Pass(new int[] {0, 7}, true, 11));
  }

  /** What dropout multiplies the rows of the head's input by. */
  private static float[] mask(Head head, int rows, int in) {
    float[] mask = new float[rows * in];
    Arrays.fill(mask, 1);
    double p = head.adapter().orElseThrow().dropout();
    for (int r = 0; r < rows && p > 0; r++) {
      float[] row = new float[in];
      Arrays.fill(row, 1);
      Dropout.apply(row, in, (long) r * (in + 3 & ~3), head.dropoutKey(), p);
      System.arraycopy(row, 0, mask, r * in, in);
    }
    return mask;
  }

  private Oracle.Expression logits(Head head, Tensor weight, int rows) {
    return (in, manager) -> {
      NDArray wide = NdArrays.toNdArray(scope.own(weight.to(DType.FLOAT32)), manager);
      NDArray x = in.get(0);
      NDArray mask = manager.create(mask(head, rows, 6), new Shape(rows, 6));
      NDArray update = x.mul(mask).matMul(in.get(1).transpose()).matMul(in.get(2).transpose());
      return x.matMul(wide.transpose()).add(update.mul(NdArrays.scalar(x, 0.75)));
    };
  }

  /** More rows than a chunk of them; with dropout each row has a mask of its own. */
  @ParameterizedTest
  @CsvSource({"FLOAT32, 0", "BFLOAT16, 0", "FLOAT16, 0", "FLOAT32, 0.25", "BFLOAT16, 0.25"})
  void aHeadWithALowRankUpdate(DType dtype, double dropout) {
    int rows = 530;
    int[] targets = targets(rows, 21);
    ParameterSet parameters = parameters(shapes("a", size(3, 6), "b", size(21, 3)));
    Tensor weight = scope.own(scope.own(Oracle.gaussian(23, 0.5, 21, 6)).to(dtype));
    Head head = head(weight, parameters, dropout);
    LogitCap none = new LogitCap(LogitCap.NONE);
    Precision precision = precision(dtype);
    Oracle.Expression logits = logits(head, weight, rows);
    List<Tensor> x = List.of(input(24, rows, 6));
    assertAgrees(
        parameters,
        (tape, in) ->
            tape.apply(
                new LinearCrossEntropy(head, targets, 100, precision, work, none), in.get(0)),
        (in, manager) ->
            logits
                .run(in, manager)
                .logSoftmax(1)
                .mul(manager.create(targets).oneHot(21))
                .sum()
                .div(NdArrays.scalar(in.get(0), -100))
                .reshape(1),
        x,
        dtype);
    parameters.grads().zero();
    assertAgrees(
        parameters,
        (tape, in) ->
            tape.apply(new LinearLogProbs(head, targets, precision, work, none), in.get(0)),
        (in, manager) ->
            logits
                .run(in, manager)
                .logSoftmax(1)
                .mul(manager.create(targets).oneHot(21))
                .sum(new int[] {1}),
        x,
        dtype);
    parameters.grads().zero();
    assertAgrees(
        parameters,
        (tape, in) -> tape.apply(new OutputHead(head, precision, work, none), in.get(0)),
        logits,
        x,
        dtype);
  }
}
