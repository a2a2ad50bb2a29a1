package ai.nibble.data;

/**
 * In which order an epoch's rows are drawn, and how many make a unit. An order is decided by the
 * rows' lengths, the seed and the epoch's number alone: whoever knows them can say what comes next.
 */
public sealed interface RowOrder {
  /** Every row by itself, in random order. */
  RowOrder SHUFFLED = new Shuffled();

  /** Every row by itself, as the rows stand, in every epoch. */
  RowOrder AS_GIVEN = new AsGiven();

  /**
   * The rows of an epoch.
   *
   * @param lengths tokens of each row
   * @param epoch its number, from 0
   */
  Epoch epoch(int[] lengths, long seed, long epoch);

  /** Units of an epoch, without making it where that can be told. */
  default int units(int[] lengths, long seed, long epoch) {
    return lengths.length;
  }

  /** What a unit is: {@code row} or {@code pack}. */
  default String unit() {
    return "row";
  }

  /** See {@link #SHUFFLED}. */
  record Shuffled() implements RowOrder {
    @Override
    public Epoch epoch(int[] lengths, long seed, long epoch) {
      return Epoch.ofSingles(new Shuffle(seed, epoch).order(lengths.length));
    }

    @Override
    public String toString() {
      return "rows, shuffled";
    }
  }

  /** See {@link #AS_GIVEN}. */
  record AsGiven() implements RowOrder {
    @Override
    public Epoch epoch(int[] lengths, long seed, long epoch) {
      int[] rows = new int[lengths.length];
      for (int i = 0; i < rows.length; i++) {
        rows[i] = i;
      }
      return Epoch.ofSingles(rows);
    }

    @Override
    public String toString() {
      return "rows, as given";
    }
  }

  /**
   * Rows of about one length together in a micro-batch: of {@value #MICRO_BATCHES} micro-batches'
   * rows at a time, drawn at random, those next to each other in length; then the micro-batches in
   * random order, that with the longest row first, so that memory that does not suffice shows at
   * once.
   *
   * <p>The groups are those of transformers' {@code LengthGroupedSampler}, which leaves the
   * micro-batches of each in order of length.
   *
   * @param microBatchSize rows of a micro-batch, at least 1
   */
  record LengthGrouped(int microBatchSize) implements RowOrder {
    static final int MICRO_BATCHES = 50;

    public LengthGrouped {
      if (microBatchSize < 1) {
        throw new IllegalArgumentException("micro-batches of " + microBatchSize);
      }
    }

    @Override
    public Epoch epoch(int[] lengths, long seed, long epoch) {
      return Epoch.ofSingles(LengthGroups.order(lengths, microBatchSize, seed, epoch));
    }

    @Override
    public String toString() {
      return "rows, micro-batches of " + microBatchSize + " grouped by length";
    }
  }

  /**
   * Several rows in a unit, together at most so many tokens; which, and the order of the packs, is
   * drawn anew in every epoch. Rows stay sequences of their own: see {@link Batch}. The number of
   * packs may differ by a few from one epoch to the next.
   *
   * @param tokens most tokens of a pack; no row has more
   */
  record Packed(int tokens) implements RowOrder {
    public Packed {
      if (tokens < 1) {
        throw new IllegalArgumentException("packs of " + tokens + " tokens");
      }
    }

    @Override
    public Epoch epoch(int[] lengths, long seed, long epoch) {
      return BestFit.pack(lengths, tokens, seed, epoch);
    }

    @Override
    public int units(int[] lengths, long seed, long epoch) {
      return epoch(lengths, seed, epoch).units();
    }

    @Override
    public String unit() {
      return "pack";
    }

    @Override
    public String toString() {
      return "packs of up to " + tokens + " tokens";
    }
  }
}
