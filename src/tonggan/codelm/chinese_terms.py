"""The English of what programmers say in Chinese: a dictionary of terms, so that a question meets names in English.

It is no translator: what is no term is left out. That suffices for words and for the vectors of an English embedder, as
benchmarks/code_search.py --chinese measures.
"""

from __future__ import annotations

import re
from functools import cache

_CHINESE = re.compile(r"[\u3400-\u9fff]")
_TERMS = """
    二维 2d | 绝对值 absolute value | 累加 accumulate | 加 add | 增加 add | 添加 add | 地址 address | 对齐 align |
    全部 all | 所有 all | 角度 angle | 追加 append | 面积 area | 数组 array | 升序 ascending | 断言 assert |
    异步 async | 属性 attribute | 音频 audio | 坐标轴 axis | 轴 axis | 备份 backup | 进制 base | 批 batch |
    之间 between | 二分 binary | 二进制 binary | 布尔 boolean | 布尔值 boolean | 边界 boundary | 括号 bracket |
    分支 branch | 按钮 button | 字节 byte | 缓存 cache | 计算 calculate | 调用 call | 回调 callback | 摄像头 camera |
    单元格 cell | 证书 certificate | 修改 change | 改为 change to | 改成 change to | 字符 character | 图表 chart |
    判断 check | 检查 check | 子 child | 圆 circle | 类 class | 分类 classify | 清空 clear | 清除 clear |
    客户端 client | 关闭 close | 聚类 cluster | 碰撞 collide | 颜色 color | 列 column | 逗号 comma | 命令 command |
    注释 comment | 提交 commit | 比较 compare | 编译 compile | 推导式 comprehension | 压缩 compress |
    并发 concurrent | 配置 config | 连接 connect | 常量 constant | 构造 construct | 包含 contain | 含有 contain |
    变成 convert to | 转成 convert to | 转换 convert | 转换成 convert to | 坐标 coordinate | 复制 copy | 个数 count |
    数量 count | 统计 count statistics | 创建 create | 新建 create | 裁剪 crop | 交叉验证 cross validation |
    当前 current | 本月 current month | 游标 cursor | 曲线 curve | 数据 data | 数据类型 data type | 数据库 database |
    数据框 dataframe | 日期 date | 天 day | 调试 debug | 十进制 decimal | 小数 decimal | 小数位 decimals |
    解码 decode | 解压 decompress | 装饰器 decorator | 解密 decrypt | 默认 default | 默认值 default value |
    延迟 delay | 删除 delete remove | 依赖 dependency | 深度 depth | 降序 descending | 检测 detect | 字典 dictionary |
    差集 difference | 不同 different | 摘要 digest | 目录 directory | 距离 distance | 除以 divide |
    文档字符串 docstring | 文档 document | 向下 down | 下载 download | 绘制 draw | 重复 duplicate | 时间段 duration |
    边 edge | 耗时 elapsed time | 元素 element | 邮件 email | 邮箱 email | 为空 empty | 空 empty | 编码 encode |
    加密 encrypt | 结尾 end | 结束 end | 枚举 enum | 环境 environment | 相同 equal same | 相等 equal | 错误 error |
    事件 event | 异常 exception | 执行 execute | 存在 exist | 退出 exit | 指数 exponent | 导出 export |
    表达式 expression | 扩展名 extension | 阶乘 factorial | 特征 feature | 字段 field | 文件 file |
    文件大小 file size | 文件名 filename | 过滤 filter | 寻找 find | 找出 find | 查找 find | 第一个 first |
    首字母 first letter | 展平 flatten | 扁平化 flatten | 浮点数 float | 文件夹 folder | 格式 format | 格式化 format |
    帧 frame | 函数 function | 生成 generate | 生成器 generator | 取得 get | 获取 get | 梯度 gradient | 图 graph |
    灰度 grayscale | 分组 group | 哈希 hash | 头部 header | 堆 heap | 高度 height | 十六进制 hex | 隐藏 hidden |
    直方图 histogram | 主机 host | 小时 hour | 编号 id | 如果 if | 图像 image | 图片 image | 导入 import |
    缩进 indent | 下标 index | 索引 index | 信息 info | 继承 inherit | 初始化 initialize | 输入 input | 插入 insert |
    安装 install | 实例 instance | 整数 integer | 接口 interface | 界面 interface | 中断 interrupt |
    交集 intersection | 区间 interval | 非法 invalid | 求逆 inverse | 迭代 iterate | 遍历 iterate | 迭代器 iterator |
    拼接 join | 键 key | 键盘 keyboard | 标签 label tag | 最后 last | 最后一个 last | 层 layer | 叶子 leaf |
    闰年 leap year | 图例 legend | 长度 length | 限制 limit | 直线 line | 行 line | 线性 linear | 链接 link |
    链表 linked list | 列出 list | 列表 list | 加载 load | 本地 local | 锁 lock | 对数 log | 日志 log logging |
    登录 login | 循环 loop | 损失 loss | 小写 lowercase | 映射 map | 匹配 match | 矩阵 matrix | 最大 max |
    最大值 maximum | 平均 mean | 平均值 mean | 中位数 median | 内存 memory | 合并 merge | 归并 merge | 消息 message |
    方法 method | 微秒 microsecond | 毫秒 millisecond | 最小 min | 最小值 minimum | 分钟 minute |
    缺失值 missing value | 模型 model | 模块 module | 当月 month | 月 month | 鼠标 mouse | 移动 move |
    多维 multidimensional | 乘 multiply | 乘以 multiply | 名字 name | 名称 name | 嵌套 nested | 换行 newline |
    换行符 newline | 下一 next | 节点 node | 不可打印 non printable | 范数 norm | 归一化 normalize | 不是 not |
    非空 not empty | 数字 number | 对象 object | 八进制 octal | 打开 open | 选项 option | 或者 or | 顺序 order |
    输出 output | 溢出 overflow | 包 package | 填充 pad | 页面 page | 并行 parallel | 参数 parameter | 父 parent |
    解析 parse | 解析器 parser | 传递 pass | 密码 password | 路径 path | 性能 performance | 权限 permission |
    透视表 pivot table | 像素 pixel | 画 plot draw | 点 point | 指针 pointer | 多边形 polygon | 端口 port |
    预测 predict | 前缀 prefix | 上一个 previous | 主键 primary key | 素数 prime | 质数 prime | 打印 print |
    概率 probability | 进程 process | 乘积 product | 程序 program | 协议 protocol | 代理 proxy | 标点 punctuation |
    查询 query | 队列 queue | 引号 quote | 随机 random | 随机数 random number | 范围 range | 读取 read |
    接收 receive | 记录 record | 递归 recursive | 重定向 redirect | 引用 reference | 正则 regex | 正则表达式 regex |
    注册 register | 回归 regression | 余数 remainder | 远程 remote | 去掉 remove | 去重 remove duplicates |
    去除 remove | 移除 remove | 重命名 rename | 渲染 render | 替换 replace | 请求 request | 缩放 resize scale |
    响应 response | 恢复 restore | 结果 result | 输出结果 result | 重试 retry | 返回 return | 倒序 reverse |
    反转 reverse | 根 root | 旋转 rotate rotation | 取整 round | 四舍五入 round | 运行 run | 样本 sample |
    采样 sample | 保存 save | 散点图 scatter plot | 定时 schedule | 调度 schedule | 屏幕 screen | 脚本 script |
    搜索 search | 秒 second | 发送 send | 句子 sentence | 序列化 serialize | 服务器 server | 会话 session | 设置 set |
    集合 set | 最短路径 shortest path | 显示 show | 查看 show | 信号 signal | 签名 signature | 相似度 similarity |
    大小 size | 睡眠 sleep | 切片 slice | 套接字 socket | 排序 sort | 空格 space | 稀疏 sparse |
    特殊字符 special characters | 速度 speed | 分割 split | 拆分 split | 平方 square | 平方根 square root | 栈 stack |
    标准差 standard deviation | 启动 start | 开头 start | 开始 start | 状态 status | 状态码 status code |
    标准输入 stdin | 标准输出 stdout | 停止 stop | 停用词 stop words | 字符串 string | 样式 style | 子图 subplot |
    子进程 subprocess | 子集 subset | 子串 substring | 减 subtract | 后缀 suffix | 总和 sum | 求和 sum |
    支持 support | 符号链接 symlink | 同步 sync | 语法 syntax | 表 table | 表格 table | 任务 task | 模板 template |
    临时 temporary | 测试 test | 文字 text | 文本 text | 主题 theme | 线程 thread | 刻度 ticks | 时间 time |
    时间差 time difference | 超时 timeout | 时间戳 timestamp | 时区 timezone | 标题 title | 转为 to | 今天 today |
    令牌 token | 分词 tokenize | 明天 tomorrow | 合计 total | 训练 train | 事务 transaction | 转置 transpose |
    树 tree | 三角形 triangle | 截断 truncate | 元组 tuple | 两点 two points | 类型 type | 并集 union | 唯一 unique |
    向上 up | 更新 update | 上传 upload | 大写 uppercase | 用户 user | 用户名 username | 有效 valid | 校验 validate |
    验证 validate | 值 value | 变量 variable | 向量 vector | 向量化 vectorize | 版本 version | 视频 video |
    等待 wait | 警告 warning | 网页 web page | 网站 website | 周 week | 星期 week | 工作日 weekday business day |
    周末 weekend | 权重 weight | 是否 whether | 空白 whitespace | 宽度 width | 窗口 window | 没有 without |
    单词 word | 包装 wrapper | 写入 write | 年 year | 昨天 yesterday
"""


def has_chinese(text: str) -> bool:
    """Whether ``text`` holds a Chinese character."""
    return bool(_CHINESE.search(text))


def in_english(text: str) -> str:
    """``text`` with its Chinese terms in English, the longest first, and the rest of its Chinese left out.

    ``检查 JSON 文件`` is ``check JSON file``.
    """
    terms, pattern = _terms()
    translated = pattern.sub(lambda found: f" {terms[found[0]]} ", text)
    return " ".join(_CHINESE.sub(" ", translated).split())


@cache
def _terms() -> tuple[dict[str, str], re.Pattern[str]]:
    rows = (row.split(maxsplit=1) for row in _TERMS.split("|"))
    terms = {chinese: " ".join(english.split()) for chinese, english in rows}
    return terms, re.compile("|".join(sorted(terms, key=len, reverse=True)))
