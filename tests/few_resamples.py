"""While this is imported, intervals are made of a tenth of the resamples: their computation is tested elsewhere."""

from cellscope.engine.eval import metric

metric.RESAMPLES = 100
