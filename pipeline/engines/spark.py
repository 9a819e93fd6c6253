class SparkEngine:
    pass
